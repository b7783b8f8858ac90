// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
)

// request is one of a conversation with a schema registry.
type request struct {
	method, path, body string // body: of PUT all of it, else the text of a JSON Schema
	differs            string // why the fake answers otherwise; "" = it does not
}

// noOrder is a difference that chance may hide.
const noOrder = "the fake has no order"

// conversation asks for all that is read and written, in an order in which each answer depends on those before.
func conversation() []request {
	const (
		users, orders = "/subjects/users-value", "/subjects/orders-value"
		stub          = "the fake calls everything compatible"
		status        = "the fake answers 400, Confluent and the bus 422"
		page          = "the fake has no pages"
		latest        = "the fake knows -1 not as latest"
		text          = "the fake wraps the text of a schema once more"
		global        = "the fake gives the level and the mode of all for a subject without its own"
		former        = "the fake says what holds now, Confluent and the bus what was deleted"
		twice         = "the fake deletes what is deleted"
		steps         = "the fake takes away for good what was not hidden before"
		after         = "the version is still there, because the bus wanted it hidden first"
	)
	return []request{
		{"GET", "/subjects", "", ""},
		{"GET", users + "/versions", "", ""},
		{"GET", "/schemas/ids/1", "", ""},
		{"GET", "/schemas/guids/00000000-0000-0000-0000-000000000000", "", ""},
		{"POST", users + "/versions", userV1, ""},
		{"POST", users + "/versions", userV1, ""},
		{"POST", orders + "/versions", userV1, ""},
		{"POST", users + "/versions", "{", ""},
		{"GET", "/subjects", "", ""},
		{"GET", "/subjects?subjectPrefix=user", "", ""},
		{"GET", "/subjects?offset=1&limit=1", "", page},
		{"GET", users + "/versions", "", ""},
		{"GET", users + "/versions/1", "", ""},
		{"GET", users + "/versions/latest", "", ""},
		{"GET", users + "/versions/-1", "", latest},
		{"GET", users + "/versions/2", "", ""},
		{"GET", users + "/versions/0", "", status},
		{"GET", users + "/versions/x", "", status},
		{"GET", users + "/versions/1/schema", "", text},
		{"GET", users + "/versions/1/referencedby", "", ""},
		{"GET", "/schemas/ids/1", "", ""},
		{"GET", "/schemas/ids/1/schema", "", text},
		{"GET", "/schemas/ids/1/subjects", "", ""},
		{"GET", "/schemas/ids/1/versions", "", noOrder},
		{"GET", "/schemas/ids/9", "", ""},
		{"GET", "/schemas/ids/9/subjects", "", ""},
		{"GET", "/schemas", "", ""},
		{"POST", users, userV1, ""},
		{"POST", users, userV2, ""},
		{"POST", "/subjects/nobody-value", userV1, ""},
		{"POST", "/compatibility" + users + "/versions/latest", userV1, ""},
		{"POST", "/compatibility" + users + "/versions/latest", userV2, stub},
		{"GET", "/config", "", ""},
		{"GET", "/config/users-value", "", global},
		{"PUT", "/config/users-value", `{"compatibility": "NONE"}`, ""},
		{"GET", "/config/users-value", "", ""},
		{"PUT", "/config/users-value", `{"compatibility": "SIDEWAYS"}`, status},
		{"POST", users + "/versions", userV2, ""},
		{"GET", users + "/versions", "", ""},
		{"GET", "/schemas?latestOnly=true", "", ""},
		{"DELETE", "/config/users-value", "", former},
		{"DELETE", "/config/users-value", "", twice},
		{"PUT", "/config", `{"compatibility": "FULL"}`, ""},
		{"GET", "/config/users-value?defaultToGlobal=true", "", ""},
		{"GET", "/mode", "", ""},
		{"GET", "/mode/users-value", "", global},
		{"PUT", "/mode/users-value", `{"mode": "READONLY"}`, ""},
		{"GET", "/mode/users-value", "", ""},
		{"DELETE", "/mode/users-value", "", ""},
		{"DELETE", users + "/versions/1", "", ""},
		{"DELETE", users + "/versions/1", "", twice},
		{"GET", users + "/versions/1", "", ""},
		{"GET", users + "/versions", "", ""},
		{"GET", users + "/versions?deleted=true", "", ""},
		{"DELETE", users + "/versions/1?permanent=true", "", ""},
		{"DELETE", users + "/versions/2?permanent=true", "", steps},
		{"DELETE", users, "", after},
		{"GET", "/subjects", "", ""},
		{"GET", "/subjects?deleted=true", "", ""},
		{"DELETE", users, "", twice},
		{"DELETE", users + "?permanent=true", "", after},
		{"DELETE", "/subjects/nobody-value", "", ""},
		{"GET", "/schemas/ids/1", "", ""},
		{"GET", "/contexts", "", ""},
	}
}

// The fake registry of franz-go answers the same requests in the same way, but where it is told why not.
func TestLikeTheFakeRegistry(t *testing.T) {
	fake := srfake.New()
	defer fake.Close()
	ours := schemaServer(t, start(t, broker(t)), principal("*"))
	for i, req := range conversation() {
		want, got := ask(t, fake.URL(), req), ask(t, ours, req)
		switch same := want.status == got.status && covers(got.body, want.body); {
		case same && req.differs != "" && req.differs != noOrder: // by chance they may agree in that
			t.Errorf("%d %s %s: they agree, although %s: %s", i, req.method, req.path, req.differs, got)
		case !same && req.differs == "":
			t.Errorf("%d %s %s:\nfake %s\nours %s", i, req.method, req.path, want, got)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// reply is an answer without GUIDs, which are each one's own, and of errors the code alone.
type reply struct {
	status int
	body   any
}

func (r reply) String() string {
	raw, _ := json.Marshal(r.body) // it was decoded
	return fmt.Sprint(r.status, " ", string(raw))
}

func ask(t *testing.T, base string, r request) reply {
	t.Helper()
	var body io.Reader
	switch {
	case r.method == http.MethodPut:
		body = strings.NewReader(r.body)
	case r.body != "":
		raw, err := json.Marshal(map[string]string{"schema": r.body, "schemaType": "JSON"})
		if err != nil {
			t.Fatal(err)
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(t.Context(), r.method, base+r.path, body)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	out := reply{status: res.StatusCode}
	if err := json.NewDecoder(res.Body).Decode(&out.body); err != nil {
		t.Fatalf("%s %s: %v", r.method, r.path, err)
	}
	if object, ok := out.body.(map[string]any); ok {
		delete(object, "guid")
		if object["error_code"] != nil {
			delete(object, "message")
		}
	}
	if list, ok := out.body.([]any); ok {
		for _, v := range list {
			if object, ok := v.(map[string]any); ok {
				delete(object, "guid")
			}
		}
	}
	return out
}

// covers reports whether an answer says all that another one does; objects may say more, as those of newer registries.
func covers(got, want any) bool {
	object, isObject := want.(map[string]any)
	mine, _ := got.(map[string]any)
	if !isObject {
		return reflect.DeepEqual(got, want)
	}
	for k, v := range object {
		if !reflect.DeepEqual(mine[k], v) {
			return false
		}
	}
	return true
}

// Clients of schema registries read one form of errors, also of what fails before a path of it is reached.
func TestRefusalsHaveTheFormOfTheProtocol(t *testing.T) {
	r := start(t, broker(t))
	mux := http.NewServeMux()
	r.SchemaEdge().Mount(mux)
	s := httptest.NewServer(edge.Handler(mux, edge.Options{Basic: []string{SchemaPrefix}, Logger: r.cfg.Logger,
		Authenticate: func(token string) (autobus.Principal, string, bool) {
			return autobus.Principal{Name: "reader"}, "", token == "good"
		},
		Refusals: map[string]func(http.ResponseWriter, *http.Request, error){SchemaPrefix: r.RefuseSchema}}))
	defer s.Close()
	for _, c := range []struct {
		method, path, password string
		status, code           int
	}{
		{"GET", SchemaPrefix + "/subjects", "", 401, 401},
		{"GET", SchemaPrefix + "/subjects", "bad", 401, 401},
		{"GET", SchemaPrefix + "/subjects", "good", 200, 0},
		{"GET", SchemaPrefix + "/nothing", "good", 404, 404},
		{"DELETE", SchemaPrefix + "/contexts", "good", 405, 405},
		{"DELETE", SchemaPrefix + "/config", "good", 403, codeForbidden},
		{"GET", "/elsewhere", "", 401, 0},
	} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, s.URL+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.password != "" {
			req.SetBasicAuth("anybody", c.password)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		var body struct {
			Code    int `json:"error_code"`
			Message string
		}
		if res.StatusCode/100 != 2 {
			_ = json.Unmarshal(raw, &body) // the code tells
		}
		mine := strings.HasPrefix(c.path, SchemaPrefix)
		if res.StatusCode != c.status || body.Code != c.code || c.code != 0 && body.Message == "" ||
			mine != (res.Header.Get("Content-Type") == schemaMedia) || bytes.Contains(raw, []byte("bad")) {
			t.Errorf("%s %s by %q: %d %s %s", c.method, c.path, c.password, res.StatusCode, res.Header, raw)
		}
		if asked := res.Header.Get("WWW-Authenticate"); mine && (c.status == 401) != strings.HasPrefix(asked, "Basic ") {
			t.Errorf("%s %s by %q asks for %q", c.method, c.path, c.password, asked)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}
