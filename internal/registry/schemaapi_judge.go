// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/avro"

	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/spec"
)

// defaultLevel holds for subjects of clients where nobody set another one, as in other schema registries.
const defaultLevel = spec.LevelBackward

// parsedSchema is a schema that can be compared with others of its type.
type parsedSchema struct {
	json []byte // together with what it refers to
	avro *avro.Schema
}

// maxReferences bounds what one schema refers to, through others too.
const maxReferences = 100

// parse reads a schema and all that it refers to.
func (s *schemas) parse(v control.Schema) (*parsedSchema, error) {
	referred, err := s.referred(v, map[string]bool{})
	if err != nil {
		return nil, err
	}
	switch v.Type {
	case typeJSON:
		byAddress := map[string][]byte{}
		for _, r := range referred {
			byAddress[r.name] = []byte(r.Text)
		}
		whole, err := spec.EmbedSchemas([]byte(v.Text), byAddress)
		if err == nil {
			err = spec.CheckSchema(whole)
		}
		if err != nil {
			return nil, fault(codeSchemaInvalid, "Invalid schema: %v", err)
		}
		return &parsedSchema{json: whole}, nil
	case typeAvro:
		var cache avro.SchemaCache
		for _, r := range referred {
			if _, err := cache.Parse(r.Text); err != nil {
				return nil, fault(codeSchemaInvalid, "Invalid schema: the reference %s: %v", r.name, err)
			}
		}
		parsed, err := cache.Parse(v.Text)
		if err != nil {
			return nil, fault(codeSchemaInvalid, "Invalid schema: %v", err)
		}
		return &parsedSchema{avro: parsed}, nil
	}
	return nil, fault(codeSchemaInvalid, "Invalid schema type %s: this registry keeps %s and %s", v.Type, typeJSON,
		typeAvro)
}

// referredSchema is a schema under the name by which another one refers to it.
type referredSchema struct {
	control.Schema
	name string
}

// referred lists what a schema refers to, each behind all that it refers to itself.
func (s *schemas) referred(v control.Schema, seen map[string]bool) ([]referredSchema, error) {
	var out []referredSchema
	for _, r := range v.References {
		if seen[r.Name] {
			continue
		}
		seen[r.Name] = true
		if len(seen) > maxReferences {
			return nil, fault(codeSchemaInvalid, "Invalid schema: it refers to more than %d others", maxReferences)
		}
		version, ok := s.subject(r.Subject).version(r.Version)
		to := s.get(version.ID)
		if !ok || to == nil || to.Type != v.Type {
			return nil, fault(codeSchemaInvalid, "Invalid schema: the reference %q leads to version %d of subject %q, where "+
				"there is no %s schema", r.Name, r.Version, r.Subject, v.Type)
		}
		behind, err := s.referred(to.Schema, seen)
		if err != nil {
			return nil, err
		}
		out = append(append(out, behind...), referredSchema{to.Schema, r.Name})
	}
	return out, nil
}

// judge compares a schema with versions that are there, as far as the level asks. What it returns is what speaks
// against it.
func (s *schemas) judge(want *candidate, versions []control.SubjectVersion, level spec.CompatLevel,
	policy spec.CompatPolicy) ([]string, error) {
	if level == spec.LevelNone {
		return nil, nil
	}
	if len(versions) > 1 && !strings.HasSuffix(string(level), "_TRANSITIVE") {
		versions = versions[len(versions)-1:]
	}
	var out []string
	for _, v := range versions {
		known := s.get(v.ID)
		if known == nil {
			return nil, fault(codeStoreFailed, "schema %d cannot be read here", v.ID)
		}
		if known.Type != want.Type {
			out = append(out, fmt.Sprintf("version %d: its type is %s, this one's %s", v.Version, known.Type, want.Type))
			continue
		}
		older, err := s.parse(known.Schema)
		if err != nil {
			return nil, err
		}
		against, err := older.against(want.parsed, level, policy)
		if err != nil {
			return nil, err
		}
		for _, a := range against {
			out = append(out, fmt.Sprintf("version %d: %s", v.Version, a))
		}
	}
	return out, nil
}

// against says what keeps a newer schema from following this one.
func (p *parsedSchema) against(newer *parsedSchema, level spec.CompatLevel, policy spec.CompatPolicy) (
	[]string, error) {
	if p.avro != nil {
		return avroAgainst(p.avro, newer.avro, string(level)), nil
	}
	verdict, err := spec.CheckSchemas([][]byte{p.json}, newer.json, level, policy)
	if err != nil {
		return nil, fault(codeSchemaInvalid, "Invalid schema: %v", err)
	}
	var out []string
	for _, f := range verdict.Changes {
		if !f.Compatible {
			out = append(out, fmt.Sprintf("%s at %s: %s", f.Kind, cmp.Or(f.Pointer, "#/"), f.Message))
		}
	}
	return out, nil
}

func avroAgainst(older, newer *avro.Schema, level string) []string {
	var out []string
	if !strings.HasPrefix(level, "FORWARD") {
		if err := avro.CheckCompatibility(older, newer); err != nil {
			out = append(out, "the new schema cannot read data of the old one: "+err.Error())
		}
	}
	if !strings.HasPrefix(level, "BACKWARD") {
		if err := avro.CheckCompatibility(newer, older); err != nil {
			out = append(out, "the old schema cannot read data of the new one: "+err.Error())
		}
	}
	return out
}

// level says how new versions of a subject are judged: as its type's spec says, as was set for it or for all, or as is
// usual.
func (e schemaEdge) level(name string, sub *subject) (spec.CompatLevel, spec.CompatPolicy) {
	if t, _, owned := e.r.ofType(name); owned {
		return t.Compatibility, spec.PolicyLenient
	}
	all := e.r.schemas.all()
	level := cmp.Or(sub.Compatibility, all.Compatibility, string(defaultLevel))
	policy := cmp.Or(sub.Policy, all.Policy, string(spec.PolicyStrict))
	return spec.CompatLevel(level), spec.CompatPolicy(strings.ToLower(policy))
}

// compatibility is the answer to a question about it.
type compatibility struct {
	Compatible bool     `json:"is_compatible"`
	Messages   []string `json:"messages,omitempty"`
}

func (e schemaEdge) ask(c *call, name string, versions []control.SubjectVersion) (any, error) {
	want, err := e.candidate(c)
	if err != nil {
		return nil, err
	}
	level, policy := e.level(name, e.r.schemas.subject(name))
	against, err := e.r.schemas.judge(want, versions, level, policy)
	if err != nil {
		return nil, err
	}
	out := compatibility{Compatible: len(against) == 0}
	if c.flag("verbose") {
		out.Messages = append(against, fmt.Sprintf("{compatibility: %s, policy: %s}", level, policy))
	}
	return out, nil
}

// compatibleVersion compares with one version, whatever the level says of how many count.
func (e schemaEdge) compatibleVersion(c *call) (any, error) {
	name, v, err := e.pick(c)
	if err != nil {
		return nil, err
	}
	return e.ask(c, name, []control.SubjectVersion{v})
}

// compatible compares with the versions that the level asks for. Where there are none, everything is compatible.
func (e schemaEdge) compatible(c *call) (any, error) {
	name, err := subjectOf(c)
	if err != nil {
		return nil, err
	}
	return e.ask(c, name, slices.Clone(e.r.schemas.subject(name).live()))
}
