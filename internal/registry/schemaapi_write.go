// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/spec"
)

// schemaBody is a schema as clients send it.
type schemaBody struct {
	Text       string                    `json:"schema"`
	Type       string                    `json:"schemaType"`
	References []control.SchemaReference `json:"references"`
	ID         int32                     `json:"id"`
	Version    int32                     `json:"version"`
	RuleSet    json.RawMessage           `json:"ruleSet"`
}

// candidate is a schema that a client sent, and that can be read.
type candidate struct {
	schemaBody
	parsed *parsedSchema
}

func (c *candidate) schema() control.Schema {
	return control.Schema{Type: c.Type, Text: c.Text, References: c.References, ID: c.ID}
}

// candidate reads the schema of a request.
func (e schemaEdge) candidate(c *call) (*candidate, error) {
	var out candidate
	if err := json.Unmarshal(c.body, &out.schemaBody); err != nil {
		return nil, fault(codeSchemaInvalid, "the body is no JSON object with a schema: %v", err)
	}
	if set := string(out.RuleSet); set != "" && set != "null" {
		return nil, fault(codeRulesUnsupported, "rule sets are not kept here; leave ruleSet away")
	}
	if out.Type = strings.ToUpper(out.Type); out.Type == "" {
		out.Type = typeAvro
	}
	var err error
	if out.parsed, err = e.r.schemas.parse(out.schema()); err != nil {
		return nil, err
	}
	var compact bytes.Buffer
	if json.Compact(&compact, []byte(out.Text)) == nil {
		out.Text = compact.String()
	}
	if c.flag("normalize") {
		if normal, err := spec.NormalSchema([]byte(out.Text)); err == nil {
			out.Text = string(normal)
		}
	}
	return &out, nil
}

// same reports whether a version is of the candidate's schema; alike, whether it is so after normalisation.
func (s *schemas) same(v control.SubjectVersion, c *candidate, alike bool) bool {
	known := s.get(v.ID)
	switch {
	case known == nil:
		return false
	case known.identity() == identityOf(c.schema()):
		return true
	case !alike || known.Type != c.Type || !slices.Equal(known.References, c.References):
		return false
	}
	a, errA := spec.NormalSchema([]byte(known.Text))
	b, errB := spec.NormalSchema([]byte(c.Text))
	return errA == nil && errB == nil && bytes.Equal(a, b)
}

// match finds the newest version with the candidate's schema.
func (e schemaEdge) match(c *call, versions []control.SubjectVersion, want *candidate, owned bool) (
	control.SubjectVersion, bool) {
	for _, v := range slices.Backward(versions) {
		if e.r.schemas.same(v, want, owned || c.flag("normalize")) {
			return v, true
		}
	}
	return control.SubjectVersion{}, false
}

// lookup finds the version that a schema has under a subject.
func (e schemaEdge) lookup(c *call) (any, error) {
	name, versions, err := e.named(c)
	if err != nil {
		return nil, err
	}
	want, err := e.candidate(c)
	if err != nil {
		return nil, err
	}
	_, _, owned := e.r.ofType(name)
	if v, ok := e.match(c, versions, want, owned); ok {
		return e.entity(name, v)
	}
	return nil, fault(codeSchemaUnknown, "Schema not found")
}

// register gives a schema a version under a subject, and an id. One that has them keeps them.
func (e schemaEdge) register(c *call) (any, error) {
	name, err := subjectOf(c)
	if err != nil {
		return nil, err
	}
	want, err := e.candidate(c)
	if err != nil {
		return nil, err
	}
	var out control.SubjectVersion
	err = e.r.schemas.again(c.Context(), func() (err error) {
		out, err = e.registerOnce(c, name, want)
		return err
	})
	if err != nil {
		return nil, err
	}
	return e.entity(name, out)
}

func (e schemaEdge) registerOnce(c *call, name string, want *candidate) (control.SubjectVersion, error) {
	none := control.SubjectVersion{}
	sub := e.r.schemas.subject(name)
	t, suffix, owned := e.r.ofType(name)
	if v, ok := e.match(c, sub.live(), want, owned); ok && (want.ID == 0 || want.ID == v.ID) {
		return v, nil // also for those who may not register: nothing changes
	}
	if owned {
		return none, masteredBy(t, suffix)
	}
	if err := c.may(name); err != nil {
		return none, err
	}
	if err := e.mayWrite(name, sub, want.ID != 0); err != nil {
		return none, err
	}
	if want.ID == 0 {
		level, policy := e.level(name, sub)
		verdict, err := e.r.schemas.judge(want, sub.live(), level, policy)
		if err != nil {
			return none, err
		}
		if len(verdict) > 0 {
			return none, fault(codeIncompatible, "Schema being registered is incompatible with an earlier schema for "+
				"subject %q: %s (level %s)", name, strings.Join(verdict, "; "), level)
		}
	}
	who := change{c.who.Name, "schema registered for " + name}
	id, err := e.r.schemas.reserve(c.Context(), want.schema(), who)
	if errors.Is(err, errIDTaken) {
		return none, fault(codeIDTaken, "Schema ID %d is another schema's", want.ID)
	}
	if err != nil {
		return none, err
	}
	next := sub.Subject
	v := control.SubjectVersion{Version: nextVersion(next), ID: id}
	if want.ID != 0 && want.Version != 0 {
		v.Version = want.Version
	}
	if _, taken := sub.version(v.Version); taken {
		return none, fault(codeNotPermitted, "subject %q has a version %d of another schema", name, v.Version)
	}
	next.Versions = append(slices.Clone(next.Versions), v)
	slices.SortFunc(next.Versions, func(a, b control.SubjectVersion) int { return int(a.Version - b.Version) })
	return v, e.r.schemas.put(c.Context(), name, sub.prev, next, who)
}

// masteredBy refuses a change of what a spec says.
func masteredBy(t *spec.Type, suffix string) error {
	if suffix == keySuffix {
		return fault(codeNotPermitted, "keys of %s are plain text, taken from the data: they have no schema; use a string "+
			"serializer", t.Name)
	}
	return fault(codeNotPermitted, "the schema of %s comes from its spec, %s, and this is not version %s of it; change "+
		"the spec and push it", t.Name, t.File, t.Version)
}

// deletable refuses the deletion of what a spec says, and of what others refer to.
func (e schemaEdge) deletable(c *call, name string, versions []control.SubjectVersion) error {
	if t, _, owned := e.r.ofType(name); owned {
		return fault(codeNotPermitted, "the schema of %s comes from its spec, %s", t.Name, t.File)
	}
	if err := c.may(name); err != nil {
		return err
	}
	if err := e.mayWrite(name, e.r.schemas.subject(name), false); err != nil {
		return err
	}
	for _, v := range versions {
		if by := e.r.schemas.users(name, v.Version); len(by) > 0 {
			return fault(codeReferenced, "One or more references exist to the schema {subject=%s,version=%d}: ids %v", name,
				v.Version, by)
		}
	}
	return nil
}

// deleteSubject hides all versions of a subject, or with permanent takes those away that were hidden before. Ids keep
// their schemas: records in Kafka may name them.
func (e schemaEdge) deleteSubject(c *call) (any, error) {
	name, err := subjectOf(c)
	if err != nil {
		return nil, err
	}
	out := []int32{}
	err = e.r.schemas.again(c.Context(), func() error {
		out = out[:0]
		sub := e.r.schemas.subject(name)
		gone := sub.live()
		switch {
		case len(sub.Versions) == 0:
			return fault(codeSubjectUnknown, "Subject '%s' not found.", name)
		case c.flag("permanent") && len(gone) > 0:
			return fault(codeSubjectLive, "Subject '%s' was not deleted first before being permanently deleted", name)
		case c.flag("permanent"):
			gone = sub.Versions
		case len(gone) == 0:
			return fault(codeSubjectDeleted, "Subject '%s' was soft deleted. Set permanent=true to delete permanently", name)
		}
		if err := e.deletable(c, name, gone); err != nil {
			return err
		}
		next := control.Subject{}
		for _, v := range sub.Versions {
			v.Deleted = true
			next.Versions = append(next.Versions, v)
		}
		if c.flag("permanent") {
			next.Versions = nil
		}
		for _, v := range gone {
			out = append(out, v.Version)
		}
		return e.r.schemas.put(c.Context(), name, sub.prev, next, change{c.who.Name, "subject deleted"})
	})
	return out, err
}

// deleteVersion does the same with one version.
func (e schemaEdge) deleteVersion(c *call) (any, error) {
	var out int32
	err := e.r.schemas.again(c.Context(), func() error {
		query := c.URL.Query()
		if c.flag("permanent") {
			query.Set("deleted", "true")
		}
		seen := *c
		seen.Request = c.Clone(c.Context())
		seen.URL.RawQuery = query.Encode()
		name, v, err := e.pick(&seen)
		if err != nil {
			return e.hidden(c, err)
		}
		out = v.Version
		if c.flag("permanent") && !v.Deleted {
			return fault(codeVersionLive, "Subject '%s' Version %d was not deleted first before being permanently deleted", name,
				v.Version)
		}
		if err := e.deletable(c, name, []control.SubjectVersion{v}); err != nil {
			return err
		}
		sub := e.r.schemas.subject(name)
		next := sub.Subject
		next.Versions = nil
		for _, old := range sub.Versions {
			if old.Version == v.Version {
				if c.flag("permanent") {
					continue
				}
				old.Deleted = true
			}
			next.Versions = append(next.Versions, old)
		}
		return e.r.schemas.put(c.Context(), name, sub.prev, next, change{c.who.Name, "version deleted"})
	})
	return out, err
}

// hidden tells a version that was deleted before from one that never was.
func (e schemaEdge) hidden(c *call, otherwise error) error {
	name, err := subjectOf(c)
	if err != nil {
		return err
	}
	n, _ := number(c.PathValue("version"))
	if v, ok := e.r.schemas.subject(name).version(n); ok && v.Deleted && !c.flag("permanent") {
		return fault(codeVersionDeleted, "Subject '%s' Version %d was soft deleted. Set permanent=true to delete permanently",
			name, n)
	}
	return otherwise
}
