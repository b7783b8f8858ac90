// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/sr"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
)

// principal is somebody who may manage the subjects that the patterns match.
func principal(patterns ...string) autobus.Principal {
	p := autobus.Principal{Name: "checkout"}
	for _, pattern := range patterns {
		p.Grants = append(p.Grants, autobus.Grant{Verb: autobus.VerbManage, Pattern: pattern})
	}
	return p
}

// schemaServer serves the schema registry of an instance to one principal.
func schemaServer(t *testing.T, r instance, p autobus.Principal) string {
	t.Helper()
	mux := http.NewServeMux()
	r.SchemaEdge().Mount(mux)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		mux.ServeHTTP(w, req.WithContext(autobus.WithPrincipal(req.Context(), p)))
	}))
	t.Cleanup(s.Close)
	return s.URL + SchemaPrefix
}

// schemaClient is the client of franz-go at it.
func schemaClient(t *testing.T, r instance, patterns ...string) *sr.Client {
	t.Helper()
	client, err := sr.NewClient(sr.URLs(schemaServer(t, r, principal(patterns...))))
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// code is the error code that a client got.
func code(err error) int {
	e, _ := errors.AsType[*sr.ResponseError](err)
	if e == nil {
		return 0
	}
	return e.ErrorCode
}

const (
	userV1   = `{"type":"object","properties":{"name":{"type":"string"}},"required":["name"]}`
	userV2   = `{"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer"}},"required":["age"]}`
	userAvro = `{"type":"record","name":"User","fields":[{"name":"name","type":"string"}]}`
)

func jsonSchema(text string, refs ...sr.SchemaReference) sr.Schema {
	return sr.Schema{Schema: text, Type: sr.TypeJSON, References: refs}
}

func register(t *testing.T, c *sr.Client, subject string, s sr.Schema) sr.SubjectSchema {
	t.Helper()
	out, err := c.CreateSchema(t.Context(), subject, s)
	if err != nil {
		t.Fatalf("register under %s: %v", subject, err)
	}
	return out
}

func TestSchemaOfAType(t *testing.T) {
	r := start(t, broker(t))
	push(t, r, bundleOf("order"))
	c, ctx := schemaClient(t, r), t.Context()
	const subject = "orders.order.placed.v1-value"
	typ, _ := r.Snapshot().Type("orders.order.placed.v1")
	text, guid, _ := typ.PublishedSchema()

	got, err := c.SchemaByVersion(ctx, subject, -1)
	if err != nil || got.Schema.Schema != string(text) || got.GUID != guid.String() || got.Version != 1 || got.ID != 1 ||
		got.Type != sr.TypeJSON {
		t.Fatalf("%+v %v", got, err)
	}
	if by, err := c.SchemaByGUID(ctx, guid.String()); err != nil || by.Schema.Schema != string(text) {
		t.Errorf("%+v %v", by, err)
	}
	if list, err := c.Subjects(ctx); err != nil || strings.Join(list, " ") != subject {
		t.Errorf("%v %v", list, err)
	}
	// A client that registers what it serializes by gets the id of what is there; the same schema may look otherwise.
	same := `{"required":["id"],"properties":{"id":{"type":"string"}},"type":"object"}`
	if again := register(t, c, subject, jsonSchema(same)); again.ID != got.ID || again.Version != 1 {
		t.Errorf("got %+v", again)
	}
	if found, err := c.LookupSchema(ctx, subject, jsonSchema(same)); err != nil || found.ID != got.ID {
		t.Errorf("%+v %v", found, err)
	}
	manager := schemaClient(t, r, "*")
	_, err = manager.CreateSchema(ctx, subject, jsonSchema(userV1))
	if code(err) != 42205 || !strings.Contains(err.Error(), "events/orders/order.placed.v1.yaml") {
		t.Errorf("another schema: %v", err)
	}
	_, err = manager.CreateSchema(ctx, "orders.order.placed.v1-key", jsonSchema(userV1))
	if code(err) != 42205 {
		t.Errorf("a schema of keys: %v", err)
	}
	if _, err := manager.DeleteSubject(ctx, subject, sr.SoftDelete); code(err) != 42205 {
		t.Errorf("deletion: %v", err)
	}
	none := sr.SetCompatibility{Level: sr.CompatNone}
	if res := manager.SetCompatibility(ctx, none, subject); code(res[0].Err) != 42205 {
		t.Errorf("another level: %v", res[0].Err)
	}
	if res := c.Compatibility(ctx, subject); res[0].Err != nil || res[0].Level != sr.CompatFullTransitive {
		t.Errorf("%+v", res)
	}
	if res := c.Mode(ctx, subject); res[0].Err != nil || res[0].Mode != sr.ModeReadOnly {
		t.Errorf("%+v", res)
	}
	res, err := c.CheckCompatibility(ctx, subject, -1, jsonSchema(userV1))
	if err != nil || res.Is {
		t.Errorf("%+v %v", res, err)
	}
}

// Each version of a spec is a version of the subject; the latest is the one in force, also after a step back.
func TestVersionsOfASpec(t *testing.T) {
	r := start(t, broker(t))
	file := "events/orders/order.placed.v1.yaml"
	first := bundleOf("order")
	push(t, r, first)
	second := bundleOf("order")
	second[file] = []byte(strings.Replace(strings.Replace(string(second[file]), "version: 1.0.0", "version: 1.1.0", 1),
		"{id: {type: string}}", "{id: {type: string}, note: {type: string}}", 1))
	push(t, r, second)
	c := schemaClient(t, r)
	const subject = "orders.order.placed.v1-value"
	if got, err := c.SchemaByVersion(t.Context(), subject, -1); err != nil || got.Version != 2 || got.ID != 2 {
		t.Fatalf("%+v %v", got, err)
	}
	end := r.control.End()
	push(t, r, first)
	if wrote := r.control.End() - end; wrote != 1 {
		t.Errorf("%d records for a step back, want the swap alone", wrote)
	}
	if got, err := c.SchemaByVersion(t.Context(), subject, -1); err != nil || got.Version != 1 || got.ID != 1 {
		t.Errorf("%+v %v", got, err)
	}
	if list, err := c.SubjectVersions(t.Context(), subject); err != nil || len(list) != 2 {
		t.Errorf("%v %v", list, err)
	}
	for version, want := range map[string]int{"": 200, "?version=1.0.0": 200, "?version=1.1.0": 200,
		"?version=1.2.0": 404, "?vresion=1.0.0": 400} {
		status, body := get(t, r, "/v1/types/orders.order.placed.v1/schema"+version, "*")
		id, _ := body["$id"].(string)
		_, n, _ := strings.Cut(version, "=")
		if status != want || want == 200 && id != "urn:event:orders.order.placed.v1:"+cmp.Or(n, "1.0.0") {
			t.Errorf("%s: %d %v", version, status, body)
		}
	}
}

// Specs that a build without a schema registry brought into force get their ids all the same, and one only where
// several instances do it at once.
func TestSpecsInForceGetTheirIDs(t *testing.T) {
	l := broker(t)
	a, b := start(t, l), start(t, l)
	bundle, err := readBundle(bundleOf("order", "book"))
	if err != nil {
		t.Fatal(err)
	}
	for hash, value := range bundle.specs {
		if err := a.write(t.Context(), control.KindSpec, hash, control.None, value, change{}); err != nil {
			t.Fatal(err)
		}
	}
	err = a.write(t.Context(), control.KindManifest, control.ManifestName, control.None, bundle.manifest, change{})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.control.Barrier(t.Context()); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 2)
	for _, r := range []instance{a, b} {
		go func() { done <- r.keep(context.Background(), r.Snapshot(), change{"test", ""}) }()
	}
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	for i, noun := range []string{"book", "order"} {
		got, err := schemaClient(t, b).Schemas(t.Context(), "orders."+noun+".placed.v1-value")
		if err != nil || len(got) != 1 || got[0].ID != i+1 {
			t.Errorf("%s: %+v %v", noun, got, err)
		}
	}
}

func TestForeignSubjects(t *testing.T) {
	l := broker(t)
	a, b := start(t, l), start(t, l)
	c, ctx := schemaClient(t, a, "users.*"), t.Context()
	const subject = "users.raw-value"
	one := register(t, c, subject, jsonSchema(userV1))
	if one.ID != 1 || one.Version != 1 || one.GUID == "" {
		t.Fatalf("got %+v", one)
	}
	if again := register(t, c, subject, jsonSchema(" "+userV1+"\n")); again.ID != 1 || again.Version != 1 {
		t.Errorf("again: %+v", again)
	}
	if other := register(t, c, "users.copy-value", jsonSchema(userV1)); other.ID != 1 || other.Version != 1 {
		t.Errorf("the same schema elsewhere: %+v", other)
	}
	if _, err := c.CreateSchema(ctx, subject, jsonSchema(userV2)); code(err) != 409 {
		t.Errorf("an incompatible schema: %v", err)
	}
	if _, err := c.CreateSchema(ctx, "other-value", jsonSchema(userV1)); code(err) != 40301 {
		t.Errorf("without a grant: %v", err)
	}
	if res := c.SetCompatibility(ctx, sr.SetCompatibility{Level: sr.CompatNone}, subject); res[0].Err != nil {
		t.Fatal(res[0].Err)
	}
	// Any instance knows what another one was told.
	elsewhere := schemaClient(t, b, "users.*")
	two := register(t, elsewhere, subject, jsonSchema(userV2))
	if two.ID != 2 || two.Version != 2 {
		t.Errorf("got %+v", two)
	}
	if got, err := elsewhere.SchemaByID(ctx, 1); err != nil || got.Schema != userV1 || got.Type != sr.TypeJSON {
		t.Errorf("%+v %v", got, err)
	}
	avro := register(t, c, "users.avro-value", sr.Schema{Schema: userAvro})
	if got, err := elsewhere.SchemaByID(ctx, avro.ID); err != nil || got.Schema != userAvro || got.Type != sr.TypeAvro {
		t.Errorf("%+v %v", got, err)
	}
	if _, err := c.CreateSchema(ctx, "users.avro-value", sr.Schema{Schema: strings.Replace(userAvro, "}]", `},`+
		`{"name":"age","type":"int"}]`, 1)}); code(err) != 409 {
		t.Errorf("an Avro field without a default: %v", err)
	}
	if _, err := c.CreateSchema(ctx, subject, sr.Schema{Schema: `syntax = "proto3";`, Type: sr.TypeProtobuf}); code(err) !=
		42201 || !strings.Contains(err.Error(), "JSON and AVRO") {
		t.Errorf("Protobuf: %v", err)
	}
}

// What was deleted comes back under its id, for records may name it.
func TestDeletion(t *testing.T) {
	r := start(t, broker(t))
	c, ctx := schemaClient(t, r, "*"), t.Context()
	const subject = "users-value"
	register(t, c, subject, jsonSchema(userV1))
	if err := c.DeleteSchema(ctx, subject, 1, sr.HardDelete); code(err) != 40407 {
		t.Errorf("at once for good: %v", err)
	}
	if err := c.DeleteSchema(ctx, subject, 1, sr.SoftDelete); err != nil {
		t.Fatal(err)
	}
	if err := c.DeleteSchema(ctx, subject, 1, sr.SoftDelete); code(err) != 40406 {
		t.Errorf("twice: %v", err)
	}
	if _, err := c.SubjectVersions(ctx, subject); code(err) != 40401 {
		t.Errorf("versions of what is hidden: %v", err)
	}
	if list, err := c.SubjectVersions(sr.WithParams(ctx, sr.ShowDeleted), subject); err != nil || len(list) != 1 {
		t.Errorf("%v %v", list, err)
	}
	if again := register(t, c, subject, jsonSchema(userV1)); again.ID != 1 || again.Version != 2 {
		t.Errorf("registered again: %+v", again)
	}
	if _, err := c.DeleteSubject(ctx, subject, sr.SoftDelete); err != nil {
		t.Fatal(err)
	}
	if _, err := c.DeleteSubject(ctx, subject, sr.SoftDelete); code(err) != 40404 {
		t.Errorf("twice: %v", err)
	}
	if gone, err := c.DeleteSubject(ctx, subject, sr.HardDelete); err != nil || len(gone) != 2 {
		t.Errorf("%v %v", gone, err)
	}
	if got, err := c.SchemaByID(ctx, 1); err != nil || got.Schema != userV1 {
		t.Errorf("%+v %v", got, err)
	}
}

func TestReferences(t *testing.T) {
	r := start(t, broker(t))
	c, ctx := schemaClient(t, r, "*"), t.Context()
	register(t, c, "money", jsonSchema(`{"type":"object","properties":{"amount":{"type":"string"}}}`))
	ref := sr.SchemaReference{Name: "money.json", Subject: "money", Version: 1}
	price := func(extra string) sr.Schema {
		return jsonSchema(`{"type":"object","properties":{"total":{"$ref":"money.json"}`+extra+`}}`, ref)
	}
	one := register(t, c, "price-value", price(""))
	if _, err := c.CreateSchema(ctx, "price-value", price(`,"note":{"type":"string"}`)); code(err) != 409 {
		t.Errorf("a new field in an open object: %v", err)
	}
	if _, err := c.CreateSchema(ctx, "price-value", jsonSchema(`{"$ref":"other.json"}`)); code(err) != 42201 {
		t.Errorf("a reference that is not declared: %v", err)
	}
	missing := ref
	missing.Version = 2
	if _, err := c.CreateSchema(ctx, "other-value", jsonSchema(`{"$ref":"money.json"}`, missing)); code(err) != 42201 {
		t.Errorf("a reference to what is not there: %v", err)
	}
	by, err := c.SchemaReferences(ctx, "money", 1)
	if err != nil || len(by) != 1 || by[0].ID != one.ID {
		t.Errorf("%+v %v", by, err)
	}
	if err := c.DeleteSchema(ctx, "money", 1, sr.SoftDelete); code(err) != 42206 {
		t.Errorf("deletion of what is referred to: %v", err)
	}
	item := sr.Schema{Schema: `{"type":"record","name":"shop.Item","fields":[{"name":"sku","type":"string"}]}`}
	register(t, c, "item", item)
	register(t, c, "cart-value", sr.Schema{Schema: `{"type":"record","name":"shop.Cart","fields":[{"name":"item",` +
		`"type":"shop.Item"}]}`, References: []sr.SchemaReference{{Name: "shop.Item", Subject: "item", Version: 1}}})
}

// What is exported elsewhere keeps its ids here.
func TestImport(t *testing.T) {
	r := start(t, broker(t))
	c, ctx := schemaClient(t, r, "*"), t.Context()
	if _, err := c.CreateSchemaWithIDAndVersion(ctx, "users-value", jsonSchema(userV1), 100, 3); code(err) != 42205 {
		t.Errorf("an id without import mode: %v", err)
	}
	if res := c.SetMode(ctx, sr.ModeImport, "users-value"); res[0].Err != nil {
		t.Fatal(res[0].Err)
	}
	if got, err := c.CreateSchemaWithIDAndVersion(ctx, "users-value", jsonSchema(userV1), 100, 3); err != nil ||
		got.ID != 100 || got.Version != 3 {
		t.Errorf("%+v %v", got, err)
	}
	if _, err := c.CreateSchemaWithIDAndVersion(ctx, "users-value", jsonSchema(userV2), 100, 4); code(err) != 42207 {
		t.Errorf("an id that is taken: %v", err)
	}
	if next := register(t, c, "next-value", jsonSchema(userV2)); next.ID != 101 {
		t.Errorf("the next id is %d, want one behind the greatest", next.ID)
	}
	if res := c.SetMode(ctx, sr.ModeReadOnly); res[0].Err != nil {
		t.Fatal(res[0].Err)
	}
	if _, err := c.CreateSchema(ctx, "third-value", jsonSchema(userV1)); code(err) != 42205 {
		t.Errorf("in read-only mode: %v", err)
	}
}

// Those who register at once at several instances never share an id, and the same schema never has two.
func TestConcurrentRegistrations(t *testing.T) {
	l := broker(t)
	const each = 4
	ids := make(chan int, 3*each)
	done := make(chan error, 3)
	for range 3 {
		c := schemaClient(t, start(t, l), "*")
		go func() {
			done <- func() error {
				for i := range each {
					s := jsonSchema(`{"type":"object","maxProperties":` + string(rune('1'+i)) + `}`)
					got, err := c.CreateSchema(context.Background(), "s"+string(rune('0'+i))+"-value", s)
					if err != nil {
						return err
					}
					ids <- got.ID
				}
				return nil
			}()
		}()
	}
	for range 3 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	close(ids)
	seen := map[int]int{}
	for id := range ids {
		seen[id]++
	}
	for id := 1; id <= each; id++ {
		if seen[id] != 3 || len(seen) != each {
			t.Errorf("ids and how often each was given: %v", seen)
		}
	}
}
