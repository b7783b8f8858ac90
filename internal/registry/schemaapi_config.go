// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/spec"
)

// Modes of a subject, or of all.
const (
	modeReadWrite = "READWRITE"
	modeReadOnly  = "READONLY"
	modeImport    = "IMPORT" // schemas come with ids of their own, and are not judged
)

// settingsBody is what clients set. Old ones say compatibilityLevel.
type settingsBody struct {
	Compatibility string `json:"compatibility,omitempty"`
	Level         string `json:"compatibilityLevel,omitempty"`
	Policy        string `json:"compatibilityPolicy,omitempty"`
	Mode          string `json:"mode,omitempty"`
}

// compatibilityOf is the answer to who asks for a level; the policy is left away where none was set.
func compatibilityOf(level, policy string) settingsBody {
	return settingsBody{Level: level, Policy: policy}
}

func (e schemaEdge) config(*call) (any, error) {
	all := e.r.schemas.all()
	return compatibilityOf(cmp.Or(all.Compatibility, string(defaultLevel)), all.Policy), nil
}

func (e schemaEdge) mode(*call) (any, error) {
	return settingsBody{Mode: cmp.Or(e.r.schemas.all().Mode, modeReadWrite)}, nil
}

func (e schemaEdge) subjectConfig(c *call) (any, error) {
	name, err := subjectOf(c)
	if err != nil {
		return nil, err
	}
	if t, _, owned := e.r.ofType(name); owned {
		return compatibilityOf(string(t.Compatibility), strings.ToUpper(string(spec.PolicyLenient))), nil
	}
	if sub := e.r.schemas.subject(name); sub.Compatibility != "" || sub.Policy != "" {
		level, _ := e.level(name, sub)
		return compatibilityOf(string(level), sub.Policy), nil
	}
	if c.flag("defaultToGlobal") {
		return e.config(c)
	}
	return nil, fault(codeNoSubjectConfig, "Subject '%s' does not have subject-level compatibility configured", name)
}

func (e schemaEdge) subjectMode(c *call) (any, error) {
	name, err := subjectOf(c)
	if err != nil {
		return nil, err
	}
	if _, _, owned := e.r.ofType(name); owned {
		return settingsBody{Mode: modeReadOnly}, nil
	}
	if sub := e.r.schemas.subject(name); sub.Mode != "" {
		return settingsBody{Mode: sub.Mode}, nil
	}
	if c.flag("defaultToGlobal") {
		return e.mode(c)
	}
	return nil, fault(codeNoSubjectMode, "Subject '%s' does not have subject-level mode configured", name)
}

// asked reads what a request sets.
func asked(c *call) (control.SchemaSettings, error) {
	var body settingsBody
	if err := json.Unmarshal(c.body, &body); err != nil {
		return control.SchemaSettings{}, fault(codeLevelInvalid, "the body cannot be read: %v", err)
	}
	return control.SchemaSettings{
		Compatibility: strings.ToUpper(cmp.Or(body.Compatibility, body.Level)),
		Policy:        strings.ToUpper(body.Policy),
		Mode:          strings.ToUpper(body.Mode),
	}, nil
}

func (e schemaEdge) setConfig(c *call) (any, error) { return e.changeConfig(c, "") }

func (e schemaEdge) setSubjectConfig(c *call) (any, error) {
	name, err := e.settable(c)
	if err != nil {
		return nil, err
	}
	return e.changeConfig(c, name)
}

func (e schemaEdge) changeConfig(c *call, name string) (any, error) {
	want, err := asked(c)
	if err != nil {
		return nil, err
	}
	if want.Compatibility == "" && want.Policy == "" || want.Compatibility != "" &&
		!slices.Contains(spec.CompatLevels(), spec.CompatLevel(want.Compatibility)) {
		return nil, fault(codeLevelInvalid, "Invalid compatibility level. Valid values are %v", spec.CompatLevels())
	}
	if want.Policy != "" && !slices.Contains(spec.CompatPolicies(), spec.CompatPolicy(strings.ToLower(want.Policy))) {
		return nil, fault(codeLevelInvalid, "Invalid compatibility policy. Valid values are STRICT and LENIENT")
	}
	_, err = e.settle(c, name, func(s *control.SchemaSettings) error {
		s.Compatibility, s.Policy = cmp.Or(want.Compatibility, s.Compatibility), cmp.Or(want.Policy, s.Policy)
		return nil
	})
	return settingsBody{Compatibility: want.Compatibility, Policy: want.Policy}, err
}

func (e schemaEdge) resetConfig(c *call) (any, error) { return e.dropConfig(c, "") }

func (e schemaEdge) resetSubjectConfig(c *call) (any, error) {
	name, err := e.settable(c)
	if err != nil {
		return nil, err
	}
	return e.dropConfig(c, name)
}

func (e schemaEdge) dropConfig(c *call, name string) (any, error) {
	old, err := e.settle(c, name, func(s *control.SchemaSettings) error {
		if name != "" && s.Compatibility == "" && s.Policy == "" {
			return fault(codeNoSubjectConfig, "Subject '%s' does not have subject-level compatibility configured", name)
		}
		s.Compatibility, s.Policy = "", ""
		return nil
	})
	level := cmp.Or(old.Compatibility, string(defaultLevel))
	return settingsBody{Compatibility: level, Level: level, Policy: old.Policy}, err
}

func (e schemaEdge) setMode(c *call) (any, error) { return e.changeMode(c, "") }

func (e schemaEdge) setSubjectMode(c *call) (any, error) {
	name, err := e.settable(c)
	if err != nil {
		return nil, err
	}
	return e.changeMode(c, name)
}

func (e schemaEdge) changeMode(c *call, name string) (any, error) {
	want, err := asked(c)
	if err != nil {
		return nil, err
	}
	modes := []string{modeReadWrite, modeReadOnly, modeImport}
	if !slices.Contains(modes, want.Mode) {
		return nil, fault(codeModeInvalid, "Invalid mode. Valid values are %s", strings.Join(modes, ", "))
	}
	_, err = e.settle(c, name, func(s *control.SchemaSettings) error {
		// Ids that come from elsewhere would meet those that were given here.
		if want.Mode == modeImport && s.Mode != modeImport && !c.flag("force") && e.occupied(name) {
			return fault(codeNotPermitted, "Cannot import since found existing subjects; force=true imports all the same")
		}
		s.Mode = want.Mode
		return nil
	})
	return settingsBody{Mode: want.Mode}, err
}

// occupied reports whether clients' schemas are there, under one subject or any.
func (e schemaEdge) occupied(name string) bool {
	if name != "" {
		return len(e.r.schemas.subject(name).live()) > 0
	}
	return slices.ContainsFunc(e.r.schemas.names(), func(n string) bool {
		_, _, owned := e.r.ofType(n)
		return !owned && len(e.r.schemas.subject(n).live()) > 0
	})
}

func (e schemaEdge) resetMode(c *call) (any, error) { return e.dropMode(c, "") }

func (e schemaEdge) resetSubjectMode(c *call) (any, error) {
	name, err := e.settable(c)
	if err != nil {
		return nil, err
	}
	return e.dropMode(c, name)
}

func (e schemaEdge) dropMode(c *call, name string) (any, error) {
	old, err := e.settle(c, name, func(s *control.SchemaSettings) error {
		if name != "" && s.Mode == "" {
			return fault(codeNoSubjectMode, "Subject '%s' does not have subject-level mode configured", name)
		}
		s.Mode = ""
		return nil
	})
	return settingsBody{Mode: cmp.Or(old.Mode, modeReadWrite)}, err
}

// settable is the subject that a request names, if its settings are clients' matter.
func (e schemaEdge) settable(c *call) (string, error) {
	name, err := subjectOf(c)
	if err != nil {
		return "", err
	}
	if t, _, owned := e.r.ofType(name); owned {
		return "", fault(codeNotPermitted, "what holds for %s is said by its spec, %s", name, t.File)
	}
	return name, nil
}

// settle changes the settings of a subject, or of all, and tells what they were.
func (e schemaEdge) settle(c *call, name string, f func(*control.SchemaSettings) error) (
	old control.SchemaSettings, err error) {
	if err := c.may(name); err != nil {
		return old, err
	}
	who := change{c.who.Name, "settings of schemas"}
	err = e.r.schemas.again(c.Context(), func() error {
		if name != "" {
			sub := e.r.schemas.subject(name)
			next := sub.Subject
			old = next.SchemaSettings
			if err := f(&next.SchemaSettings); err != nil {
				return err
			}
			return e.r.schemas.put(c.Context(), name, sub.prev, next, who)
		}
		rec, _ := e.r.cfg.Control.Get(control.KindSchemaSettings, control.SettingsName)
		next := e.r.schemas.all()
		old = next
		if err := f(&next); err != nil {
			return err
		}
		return e.r.schemas.write(c.Context(), control.KindSchemaSettings, control.SettingsName, rec.Offset, next, who)
	})
	return old, err
}

// mayWrite refuses what the mode of a subject forbids. numbered says that the schema brings its id.
func (e schemaEdge) mayWrite(name string, sub *subject, numbered bool) error {
	switch mode := cmp.Or(sub.Mode, e.r.schemas.all().Mode, modeReadWrite); {
	case mode == modeReadOnly:
		return fault(codeNotPermitted, "Subject %s is in read-only mode", name)
	case mode == modeImport && !numbered:
		return nil // deletion, or a schema whose id may be any
	case mode != modeImport && numbered:
		return fault(codeNotPermitted, "Subject %s is not in import mode, and only there schemas bring their ids", name)
	}
	return nil
}
