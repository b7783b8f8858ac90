// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"encoding/hex"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/spec"
)

// versionEntity is a version of a subject.
type versionEntity struct {
	Subject    string                    `json:"subject,omitempty"`
	ID         int32                     `json:"id,omitempty"`
	GUID       string                    `json:"guid"`
	Version    int32                     `json:"version,omitempty"`
	Type       string                    `json:"schemaType"`
	References []control.SchemaReference `json:"references,omitempty"`
	Text       string                    `json:"schema"`
	Deleted    bool                      `json:"deleted,omitempty"`
}

func entityOf(c *schema) versionEntity {
	return versionEntity{ID: c.ID, GUID: c.guid.String(), Type: c.Type, References: c.References, Text: c.Text}
}

func (e schemaEdge) entity(name string, v control.SubjectVersion) (versionEntity, error) {
	c := e.r.schemas.get(v.ID)
	if c == nil { // its record is one of a newer build
		return versionEntity{}, fault(codeSchemaUnknown, "schema %d of subject %q cannot be read here", v.ID, name)
	}
	out := entityOf(c)
	out.Subject, out.Version, out.Deleted = name, v.Version, v.Deleted
	return out, nil
}

// subjectOf is the subject that a request names. There is one context only, the one without a name.
func subjectOf(c *call) (string, error) {
	name := strings.TrimPrefix(c.PathValue("subject"), ":.:")
	if strings.HasPrefix(name, ":.") {
		return "", fault(codeNotPermitted, "subject %q is of a context, and contexts are not kept here", name)
	}
	return name, nil
}

// shown are the versions that a request asks for.
func shown(c *call, versions []control.SubjectVersion) []control.SubjectVersion {
	only, too := c.flag("deletedOnly"), c.flag("deleted")
	return slices.DeleteFunc(slices.Clone(versions), func(v control.SubjectVersion) bool {
		return v.Deleted && !only && !too || !v.Deleted && only
	})
}

// named gives the versions of the subject that a request names, of those that it asks for.
func (e schemaEdge) named(c *call) (string, []control.SubjectVersion, error) {
	name, err := subjectOf(c)
	if err != nil {
		return "", nil, err
	}
	versions := shown(c, e.r.schemas.subject(name).Versions)
	if len(versions) == 0 {
		return name, nil, fault(codeSubjectUnknown, "Subject '%s' not found.", name)
	}
	return name, versions, nil
}

// pick finds the version that a request names: a number, latest or -1.
func (e schemaEdge) pick(c *call) (string, control.SubjectVersion, error) {
	name, versions, err := e.named(c)
	if err != nil {
		return name, control.SubjectVersion{}, err
	}
	text := c.PathValue("version")
	if text == "latest" || text == "-1" {
		if t, suffix, ok := e.r.ofType(name); ok && suffix == valueSuffix {
			if v, ok := e.r.current(t, e.r.schemas.subject(name)); ok {
				return name, v, nil
			}
		}
		return name, versions[len(versions)-1], nil
	}
	n, ok := number(text)
	if !ok {
		return name, control.SubjectVersion{}, fault(codeVersionInvalid, "The specified version '%s' is not a valid "+
			"version id. Allowed values are between [1, 2^31-1] and the string \"latest\"", text)
	}
	for _, v := range versions {
		if v.Version == n {
			return name, v, nil
		}
	}
	return name, control.SubjectVersion{}, fault(codeVersionUnknown, "Version %d not found.", n)
}

// page cuts a list as offset and limit say.
func page[T any](c *call, items []T) []T {
	at := func(name string, otherwise int) int {
		n, err := strconv.Atoi(c.URL.Query().Get(name))
		if err != nil || n < 0 {
			return otherwise
		}
		return n
	}
	items = items[min(at("offset", 0), len(items)):]
	limit := at("limit", 0)
	if limit == 0 {
		limit = math.MaxInt
	}
	return append([]T{}, items[:min(limit, len(items))]...)
}

// listed are the subjects that a request asks for, with their versions.
func (e schemaEdge) listed(c *call, f func(name string, versions []control.SubjectVersion)) {
	prefix := strings.TrimPrefix(c.URL.Query().Get("subjectPrefix"), ":*:")
	for _, name := range e.r.schemas.names() {
		if versions := shown(c, e.r.schemas.subject(name).Versions); len(versions) > 0 && strings.HasPrefix(name, prefix) {
			f(name, versions)
		}
	}
}

func (e schemaEdge) subjects(c *call) (any, error) {
	var out []string
	e.listed(c, func(name string, _ []control.SubjectVersion) { out = append(out, name) })
	return page(c, out), nil
}

func (e schemaEdge) schemas(c *call) (any, error) {
	var out []versionEntity
	e.listed(c, func(name string, versions []control.SubjectVersion) {
		if c.flag("latestOnly") {
			versions = versions[len(versions)-1:]
		}
		for _, v := range versions {
			if entity, err := e.entity(name, v); err == nil {
				out = append(out, entity)
			}
		}
	})
	return page(c, out), nil
}

func (e schemaEdge) versions(c *call) (any, error) {
	_, versions, err := e.named(c)
	if err != nil {
		return nil, err
	}
	var out []int32
	for _, v := range versions {
		out = append(out, v.Version)
	}
	return page(c, out), nil
}

func (e schemaEdge) version(c *call) (any, error) {
	name, v, err := e.pick(c)
	if err != nil {
		return nil, err
	}
	return e.entity(name, v)
}

func (e schemaEdge) versionText(c *call) (any, error) {
	name, v, err := e.pick(c)
	if err != nil {
		return nil, err
	}
	entity, err := e.entity(name, v)
	return json.RawMessage(entity.Text), err
}

func (e schemaEdge) referencedBy(c *call) (any, error) {
	name, v, err := e.pick(c)
	if err != nil {
		return nil, err
	}
	return append([]int32{}, e.r.schemas.users(name, v.Version)...), nil
}

// identified finds the schema of the id that a request names.
func (e schemaEdge) identified(c *call) (*schema, error) {
	id, ok := number(c.PathValue("id"))
	if found := e.r.schemas.get(id); ok && found != nil {
		return found, nil
	}
	return nil, fault(codeSchemaUnknown, "Schema %s not found", c.PathValue("id"))
}

func (e schemaEdge) byID(c *call) (any, error) {
	found, err := e.identified(c)
	if err != nil {
		return nil, err
	}
	return entityOf(found), nil
}

func (e schemaEdge) textByID(c *call) (any, error) {
	found, err := e.identified(c)
	if err != nil {
		return nil, err
	}
	return json.RawMessage(found.Text), nil
}

// subjectVersion is where a schema stands.
type subjectVersion struct {
	Subject string `json:"subject"`
	Version int32  `json:"version"`
}

// places lists where the schema stands whose id a request names.
func (e schemaEdge) places(c *call) ([]subjectVersion, error) {
	found, err := e.identified(c)
	if err != nil {
		return nil, err
	}
	var out []subjectVersion
	want := c.URL.Query().Get("subject")
	e.listed(c, func(name string, versions []control.SubjectVersion) {
		for _, v := range versions {
			if v.ID == found.ID && (want == "" || want == name) {
				out = append(out, subjectVersion{name, v.Version})
			}
		}
	})
	return out, nil
}

func (e schemaEdge) versionsByID(c *call) (any, error) {
	places, err := e.places(c)
	return page(c, places), err
}

func (e schemaEdge) subjectsByID(c *call) (any, error) {
	places, err := e.places(c)
	var out []string
	for _, p := range places {
		out = append(out, p.Subject)
	}
	return page(c, slices.Compact(out)), err
}

// guided finds the schema of the GUID that a request names.
func (e schemaEdge) guided(c *call) (*schema, error) {
	text := c.PathValue("guid")
	raw, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	var guid spec.SchemaGUID
	if err == nil && len(raw) == len(guid) {
		copy(guid[:], raw)
		if found := e.r.schemas.find(guid); found != nil {
			return found, nil
		}
	}
	return nil, fault(codeSchemaUnknown, "Schema %s not found", text)
}

func (e schemaEdge) byGUID(c *call) (any, error) {
	found, err := e.guided(c)
	if err != nil {
		return nil, err
	}
	return entityOf(found), nil
}

func (e schemaEdge) idsByGUID(c *call) (any, error) {
	found, err := e.guided(c)
	if err != nil {
		return nil, err
	}
	return []map[string]any{{"context": ".", "id": found.ID}}, nil
}
