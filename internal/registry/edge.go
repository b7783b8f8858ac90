// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/edge"
	"github.com/autobus-io/autobus/spec"
)

// nearNames is how many similar names an unknown type is answered with.
const nearNames = 3

// typeItem is a type in the list of types.
type typeItem struct {
	Name        string `json:"name"`
	Version     string `json:"version,omitempty"`
	Title       string `json:"title,omitempty"`
	Owner       string `json:"owner,omitempty"`
	Kind        string `json:"kind,omitempty"`
	Lifecycle   string `json:"lifecycle,omitempty"`
	Unspecified bool   `json:"unspecified,omitempty"`
	Partitions  int32  `json:"partitions"`
}

// typeDetail is all that is known of a type.
type typeDetail struct {
	typeItem
	Description string            `json:"description,omitempty"`
	Key         string            `json:"key,omitempty"` // JSON pointer of the partition key
	Order       string            `json:"order,omitempty"`
	Topic       string            `json:"topic,omitempty"`
	Durability  durability        `json:"durability"`
	Limits      limits            `json:"limits"`
	ContentType string            `json:"content_type,omitempty"` // of data that is not JSON and not looked at
	Schema      json.RawMessage   `json:"schema,omitempty"`
	Examples    []json.RawMessage `json:"examples,omitempty"`
	Example     json.RawMessage   `json:"example,omitempty"` // the spec's first, else one made from the schema
}

type durability struct {
	BestEffort bool `json:"best_effort"`
	Copies     int  `json:"copies,omitempty"` // said only where there is one
}

type limits struct {
	MaxEventBytes int `json:"max_event_bytes"`
	MaxKeyBytes   int `json:"max_key_bytes"`
}

type httpEdge struct {
	r   *Registry
	put Put
}

// Edge serves what is known of types, GET /v1/types, /v1/types/{type}, /v1/types/{type}/route and .../schema, and the
// specs they come from, /v1/specs and /v1/specs/history. A push makes the subscriptions that it declares by put.
func (r *Registry) Edge(put Put) edge.Edge { return httpEdge{r, put} }

// Name is the edge's name in the log.
func (httpEdge) Name() string { return "registry" }

// Run waits for the end of ctx: the edge does nothing of its own.
func (httpEdge) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Mount adds the paths.
func (e httpEdge) Mount(mux *http.ServeMux) {
	mux.HandleFunc("GET /v1/specs", e.answer(e.specs))
	mux.HandleFunc("POST /v1/specs", e.push)
	mux.HandleFunc("GET /v1/specs/history", e.answer(e.past))
	mux.HandleFunc("GET /v1/specs/drift", e.answer(e.drift))
	mux.HandleFunc("GET /v1/types", e.answer(e.list))
	mux.HandleFunc("GET /v1/types/{type}", e.answer(e.detail))
	mux.HandleFunc("GET /v1/types/{type}/route", e.answer(e.route))
	mux.HandleFunc("GET /v1/types/{type}/schema", e.answer(e.schema))
}

func (e httpEdge) answer(f func(*http.Request, autobus.Principal) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		p, ok := autobus.PrincipalOf(req.Context())
		if !ok {
			edge.WriteProblem(w, req, autobus.NewError(autobus.ReasonUnauthenticated, "nobody is known to ask"))
			return
		}
		v, err := f(req, p)
		if err != nil {
			edge.WriteProblem(w, req, err)
			return
		}
		writeJSON(w, req, v)
	}
}

func (e httpEdge) list(_ *http.Request, p autobus.Principal) (any, error) {
	items := []typeItem{}
	for _, t := range e.r.Snapshot().Types() {
		if maySee(p, t.Name) {
			items = append(items, itemOf(t, e.r.route(t.Name)))
		}
	}
	for _, u := range e.r.unspecified() {
		if maySee(p, u.Type) {
			items = append(items, typeItem{Name: u.Type, Unspecified: true, Partitions: u.Partitions})
		}
	}
	slices.SortFunc(items, func(a, b typeItem) int { return cmp.Compare(a.Name, b.Name) })
	return map[string]any{"types": items}, nil
}

func (e httpEdge) detail(req *http.Request, p autobus.Principal) (any, error) {
	t, route, err := e.find(req, p)
	if err != nil {
		return nil, err
	}
	d := typeDetail{
		Order:  route.Order,
		Topic:  route.Topic,
		Limits: limits{MaxEventBytes: route.MaxEventBytes, MaxKeyBytes: autobus.MaxKeyBytes},
	}
	d.Durability.BestEffort = route.BestEffort || e.r.cfg.Embedded
	if e.r.cfg.Embedded {
		d.Durability.Copies = 1
	}
	if t == nil {
		d.typeItem = typeItem{Name: route.Type, Unspecified: true, Partitions: route.Partitions}
		return d, nil
	}
	d.typeItem = itemOf(t, route)
	d.Description, d.Key, d.Schema, d.Examples = t.Description, t.KeyPointer, t.Schema, t.Examples
	d.ContentType = t.ContentType
	d.Example, _ = t.Example()
	return d, nil
}

func (e httpEdge) route(req *http.Request, p autobus.Principal) (any, error) {
	_, route, err := e.find(req, p)
	if err != nil {
		return nil, err
	}
	if !route.exists {
		return nil, autobus.NewError(autobus.ReasonTypeUnknown, "%s has no route", req.PathValue("type")).
			WithHint("Push its spec again; the push writes the route.")
	}
	answer := route.Route
	answer.BestEffort = answer.BestEffort || e.r.cfg.Embedded // one copy is no more than that, whatever the spec says
	return answer, nil
}

// schema is the schema of a type's data: the one in force, or that of another version of the spec, which old events
// name in dataschema.
func (e httpEdge) schema(req *http.Request, p autobus.Principal) (any, error) {
	q, bad := edge.Query(req, "version")
	if bad != nil {
		return nil, bad
	}
	version, bad := edge.Single(q, "version")
	if bad != nil {
		return nil, bad
	}
	t, _, err := e.find(req, p)
	if err != nil {
		return nil, err
	}
	if t == nil {
		return nil, autobus.NewError(autobus.ReasonSchemaUnknown, "no spec says what %s is", req.PathValue("type"))
	}
	if version == "" || version == t.Version {
		if text, _, ok := t.PublishedSchema(); ok {
			return json.RawMessage(text), nil
		}
		return nil, autobus.NewError(autobus.ReasonSchemaUnknown, "data of %s is %s, which has no schema", t.Name,
			cmp.Or(t.ContentType, "of any form"))
	}
	sub := e.r.schemas.subject(t.Name + valueSuffix)
	for _, v := range slices.Backward(sub.Versions) {
		if c := e.r.schemas.get(v.ID); v.Spec == version && c != nil {
			return json.RawMessage(c.Text), nil
		}
	}
	return nil, autobus.NewError(autobus.ReasonSchemaUnknown, "no version %s of %s was ever in force", edge.Clip(version),
		t.Name)
}

// find looks a type up, with its spec (nil for an unspecified one) and its route. Who has no grant for a name is not
// told whether it exists.
func (e httpEdge) find(req *http.Request, p autobus.Principal) (*spec.Type, route, error) {
	name := req.PathValue("type")
	if !maySee(p, name) {
		return nil, route{}, autobus.NewError(autobus.ReasonForbidden, "%s may neither publish nor subscribe to %s", p.Name,
			name)
	}
	t, have, ok := e.r.lookup(name)
	if !ok {
		if err := e.r.catchUp(req.Context()); err != nil {
			return nil, route{}, err
		}
		t, have, ok = e.r.lookup(name)
	}
	switch {
	case !ok:
		return nil, route{}, e.r.unknown(name, p)
	case have.err != nil:
		return nil, route{}, have.err
	}
	return t, have, nil
}

func (r *Registry) lookup(name string) (*spec.Type, route, bool) {
	have := r.route(name)
	if t, ok := r.Snapshot().Type(name); ok {
		return t, have, true
	}
	return nil, have, have.exists && (have.Unspecified || r.cfg.Dev || have.err != nil)
}

func (r *Registry) unknown(name string, p autobus.Principal) error {
	err := autobus.NewError(autobus.ReasonTypeUnknown, "no spec declares %s", name)
	near := slices.DeleteFunc(r.Snapshot().Near(name, nearNames), func(n string) bool { return !maySee(p, n) })
	if len(near) > 0 {
		return err.WithHint("Did you mean %s? Else add its spec and push it.", strings.Join(near, " or "))
	}
	return err
}

// unspecified lists the routes that a first publish made and no spec has taken over; in dev also those whose spec is
// gone, because dev goes on taking their events.
func (r *Registry) unspecified() []control.Route {
	var out []control.Route
	for _, rec := range r.cfg.Control.All(control.KindRoute) {
		route, err := control.Decode[control.Route](rec)
		_, specified := r.Snapshot().Type(rec.Name)
		if err == nil && !specified && (route.Unspecified || r.cfg.Dev) {
			out = append(out, route)
		}
	}
	return out
}

// catchUp reads the control log to its end, at most once a second: what another instance has just brought into force
// must not be called unknown here, and asking for nonsense must not become load on the brokers.
func (r *Registry) catchUp(ctx context.Context) error {
	r.caughtUp.Lock()
	defer r.caughtUp.Unlock()
	if time.Since(r.last) < time.Second {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := r.cfg.Control.Barrier(ctx); err != nil {
		return err
	}
	r.last = time.Now()
	return nil
}

func itemOf(t *spec.Type, have route) typeItem {
	return typeItem{
		Name: t.Name, Version: t.Version, Title: t.Title, Owner: t.Owner, Kind: t.Kind, Lifecycle: t.Lifecycle,
		Partitions: have.Partitions,
	}
}

func maySee(p autobus.Principal, name string) bool {
	return p.May(autobus.VerbPublish, name) || p.May(autobus.VerbSubscribe, name)
}
