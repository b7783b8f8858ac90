// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/spec"
)

// get asks the edge as somebody with grants on the patterns.
func get(t *testing.T, r instance, path string, patterns ...string) (int, map[string]any) {
	t.Helper()
	mux := http.NewServeMux()
	r.Edge(r.put).Mount(mux)
	p := autobus.Principal{Name: "checkout"}
	for _, pattern := range patterns {
		p.Grants = append(p.Grants, autobus.Grant{Verb: autobus.VerbSubscribe, Pattern: pattern})
	}
	req := httptest.NewRequestWithContext(autobus.WithPrincipal(t.Context(), p), http.MethodGet, path, nil)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, req)
	var body map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		t.Fatalf("%s: %d %q: %v", path, w.Code, w.Body, err)
	}
	return w.Code, body
}

func listed(body map[string]any) string {
	var out []string
	for _, t := range body["types"].([]any) {
		out = append(out, t.(map[string]any)["name"].(string))
	}
	return strings.Join(out, " ")
}

func TestListOfTypes(t *testing.T) {
	r := start(t, broker(t))
	if _, body := get(t, r, "/v1/types", "*"); body["types"] == nil {
		t.Errorf("an empty list is %v, want []", body["types"])
	}
	push(t, r, bundleOf("order", "book"))
	if err := r.CreateType(t.Context(), "adhoc"); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ grant, want string }{
		{"*", "adhoc orders.book.placed.v1 orders.order.placed.v1"},
		{"orders.*", "orders.book.placed.v1 orders.order.placed.v1"},
		{"orders.order.*", "orders.order.placed.v1"},
		{"other.*", ""},
	} {
		if _, body := get(t, r, "/v1/types", tc.grant); listed(body) != tc.want {
			t.Errorf("grant %s lists %q, want %q", tc.grant, listed(body), tc.want)
		}
	}
	_, body := get(t, r, "/v1/types", "orders.order.*")
	got, err := json.Marshal(body["types"].([]any)[0])
	want := `{"kind":"event","lifecycle":"active","name":"orders.order.placed.v1","owner":"team-checkout",` +
		`"partitions":3,"title":"orders.order.placed","version":"1.0.0"}`
	if err != nil || string(got) != want {
		t.Errorf("item %s\nwant %s", got, want)
	}
}

func TestOneType(t *testing.T) {
	r := start(t, broker(t))
	push(t, r, bundleOf("order", "book"))
	if err := r.CreateType(t.Context(), "adhoc"); err != nil {
		t.Fatal(err)
	}
	code, body := get(t, r, "/v1/types/orders.order.placed.v1", "*")
	if code != 200 || body["key"] != "/id" || body["description"] != "Placed." || body["schema"] == nil ||
		body["order"] != "key" || body["example"].(map[string]any)["id"] != "o-1" ||
		body["limits"].(map[string]any)["max_event_bytes"] != 1e6 ||
		body["durability"].(map[string]any)["copies"] != 1.0 {
		t.Errorf("%d %v", code, body)
	}
	code, body = get(t, r, "/v1/types/adhoc", "*")
	if code != 200 || body["unspecified"] != true || body["partitions"] != 1.0 {
		t.Errorf("%d %v", code, body)
	}
	code, body = get(t, r, "/v1/types/orders.order.placed.v1/route", "*")
	if code != 200 || body["topic"] != "orders.order.placed.v1" || body["partitions"] != 3.0 || body["epoch"] != 1.0 ||
		body["hash"] != "murmur2" || body["max_event_bytes"] != 1e6 || body["best_effort"] != true {
		t.Errorf("%d %v", code, body)
	}
	for _, path := range []string{"/v1/types/orders.ordr.placed.v1", "/v1/types/orders.ordr.placed.v1/route"} {
		code, body = get(t, r, path, "*")
		if hint, _ := body["hint"].(string); code != 404 || body["reason"] != "type_unknown" ||
			!strings.Contains(hint, "orders.order.placed.v1") {
			t.Errorf("%s: %d %v", path, code, body)
		}
	}
	// Near names come from one's own grants only.
	_, body = get(t, r, "/v1/types/orders.ordr.placed.v1", "orders.ordr.*")
	if strings.Contains(body["hint"].(string), "order.") {
		t.Errorf("the hint tells of other types: %v", body["hint"])
	}
	for _, path := range []string{"/v1/types/orders.order.placed.v1", "/v1/types/orders.nothing.placed.v1",
		"/v1/types/orders.order.placed.v1/route"} {
		if code, body := get(t, r, path, "other.*"); code != 403 || body["reason"] != "forbidden" {
			t.Errorf("%s without a grant: %d %v", path, code, body)
		}
	}
}

// What another instance pushed a moment ago is not called unknown, even where it has not yet been heard of.
func TestOneTypeAfterAReadBarrier(t *testing.T) {
	l := broker(t)
	a, b := start(t, l), start(t, l)
	b.cfg.Dev = false
	behind := make(chan struct{})
	b.control.Watch(control.KindRoute, func(control.Record) { <-behind })
	push(t, a, bundleOf("order"))
	time.AfterFunc(100*time.Millisecond, func() { close(behind) })
	if code, body := get(t, b, "/v1/types/orders.order.placed.v1", "*"); code != 200 {
		t.Errorf("%d %v", code, body)
	}
}

func TestEdgeWithoutAPrincipal(t *testing.T) {
	r := start(t, broker(t))
	mux := http.NewServeMux()
	r.Edge(r.put).Mount(mux)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/types", nil))
	if w.Code != http.StatusUnauthorized {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// postSpecs pushes files over the API, as somebody who may manage what the patterns match.
func postSpecs(t *testing.T, r instance, body map[string]any, patterns ...string) (int, map[string]any) {
	t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	r.Edge(r.put).Mount(mux)
	ctx := autobus.WithPrincipal(t.Context(), principal(patterns...))
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodPost, "/v1/specs", bytes.NewReader(raw)))
	var answer map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatalf("%d %q: %v", w.Code, w.Body, err)
	}
	return w.Code, answer
}

func TestPushOverTheAPI(t *testing.T) {
	r := start(t, broker(t))
	const file = "events/orders/order.placed.v1.yaml"
	good := string(bundleOf("order")[file])
	body := func(content string, more ...string) map[string]any {
		out := map[string]any{"files": map[string]string{file: content}, "reason": "a test"}
		for _, flag := range more {
			out[flag] = true
		}
		return out
	}
	end := r.control.End()
	if code, answer := postSpecs(t, r, body(good), "orders.*"); code != 403 {
		t.Errorf("with a grant for some: %d %v", code, answer)
	}
	code, answer := postSpecs(t, r, body(good, "dry_run"), "*")
	plan, _ := answer["plan"].(map[string]any)
	if code != 200 || plan["changed"] != true || answer["report"] != nil || len(plan["create"].([]any)) != 1 {
		t.Errorf("%d %v", code, answer)
	}
	if code, answer := postSpecs(t, r, map[string]any{"flies": nil}, "*"); code != 400 {
		t.Errorf("%d %v", code, answer)
	}
	if code, answer := postSpecs(t, r, body("asyncapi: 3.1.0\n"), "*"); code != 422 || answer["reason"] != "spec_invalid" {
		t.Errorf("%d %v", code, answer)
	}
	if r.control.End() != end {
		t.Error("something was written")
	}
	if code, answer := postSpecs(t, r, body(good), "*"); code != 200 || answer["report"] == nil {
		t.Errorf("%d %v", code, answer)
	}
	rec, _ := r.control.Get(control.KindManifest, control.ManifestName)
	if rec.Actor != "checkout" || rec.Reason != "a test" {
		t.Errorf("the audit says %q %q", rec.Actor, rec.Reason)
	}
	if _, body := get(t, r, "/v1/specs"); body["files"].(map[string]any)[file] != good || body["hash"] != r.Hash() {
		t.Errorf("in force: %v", body)
	}
	if code, body := get(t, r, "/v1/specs/drift"); code != 200 || len(body) != 0 {
		t.Errorf("drift: %d %v", code, body)
	}

	broken := strings.Replace(good, "{id: {type: string}}", "{id: {type: integer}}", 1)
	broken = strings.Replace(broken, "payload: {id: o-1}", "payload: {id: 1}", 1)
	if code, answer := postSpecs(t, r, body(broken), "*"); code != 409 || answer["reason"] != "spec_incompatible" {
		t.Errorf("%d %v", code, answer)
	}
	hash := r.Hash()
	if code, answer := postSpecs(t, r, body(broken, "force"), "*"); code != 200 || r.Hash() == hash {
		t.Errorf("%d %v", code, answer)
	}
}

// Whoever publishes once a push was answered reaches the subscriptions that it declares, also such as begin at the end.
func TestAPushMakesItsSubscriptionsBeforeItIsAnswered(t *testing.T) {
	r := start(t, broker(t))
	files := map[string]string{"services/refunds.yaml": string(serviceFile("refunds"))}
	for name, content := range bundleOf("order") {
		files[name] = string(content)
	}
	var made []string
	broken := errors.New("the brokers are away")
	r.put = func(_ context.Context, s *spec.Subscription) error {
		if made = append(made, s.Name); len(made) == 1 {
			return broken
		}
		return nil
	}
	for i, pending := range []any{"subscription refunds of services/refunds.yaml: " + broken.Error(), nil} {
		code, answer := postSpecs(t, r, map[string]any{"files": files}, "*")
		report, _ := answer["report"].(map[string]any)
		if code != http.StatusOK || len(made) != i+1 || made[i] != "refunds" || report["pending"] != pending {
			t.Errorf("%d %v, made %v", code, answer, made)
		}
	}
}

// A push that was cut short or names what is in no repository takes nothing away, whatever it says beside.
func TestAPushWithoutARepository(t *testing.T) {
	r := start(t, broker(t))
	push(t, r, bundleOf("order"))
	hash := r.Hash()
	for _, body := range []map[string]any{
		{"force": true}, {"force": true, "files": nil},
		{"force": true, "files": map[string]string{"../x.yaml": "a: 1"}},
		{"force": true, "files": map[string]string{"/x.yaml": "a: 1"}},
		{"force": true, "files": map[string]string{"a/../x.yaml": "a: 1"}},
		{"force": true, "files": map[string]string{`a\x.yaml`: "a: 1"}},
		{"force": true, "files": map[string]string{"a\x00.yaml": "a: 1"}},
		{"force": true, "files": map[string]string{"": "a: 1"}},
		{"force": true, "files": map[string]string{"events/order.json": "{}"}},
	} {
		code, answer := postSpecs(t, r, body, "*")
		if code != 400 || answer["reason"] != "request_invalid" || r.Hash() != hash {
			t.Errorf("%v: %d %v", body, code, answer)
		}
	}
	if code, answer := postSpecs(t, r, map[string]any{"force": true, "files": map[string]string{}}, "*"); code != 200 {
		t.Errorf("none at all, said so: %d %v", code, answer)
	}
}
