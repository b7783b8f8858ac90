// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"sync"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/spec"
)

// schemas is what the control log says of schemas and subjects, as schema registries know them: every version of a
// spec's schema, and what clients registered. Ids come from the log as well: a new one is the next free, and the
// compare-and-set on its record decides who has it.
type schemas struct {
	control *control.Log
	logger  *slog.Logger

	mu       sync.RWMutex
	byID     map[int32]*schema
	byText   map[string]*schema // by schema.identity
	byGUID   map[spec.SchemaGUID]*schema
	last     int32 // the greatest id
	subjects map[string]*subject
	settings control.SchemaSettings
}

// schema is one under its id. It never changes.
type schema struct {
	control.Schema
	guid spec.SchemaGUID
}

// subject is one with the Prev that a change of it has to name. It never changes: a change makes another one.
type subject struct {
	prev int64
	control.Subject
}

func newSchemas(log *control.Log, logger *slog.Logger) *schemas {
	s := &schemas{control: log, logger: logger, byID: map[int32]*schema{}, byText: map[string]*schema{},
		byGUID: map[spec.SchemaGUID]*schema{}, subjects: map[string]*subject{}}
	log.Watch(control.KindSchema, s.takeSchema)
	log.Watch(control.KindSubject, s.takeSubject)
	log.Watch(control.KindSchemaSettings, s.takeSettings)
	return s
}

// Each of the take functions runs on the control log's goroutine. A record that only a newer build can read is left
// out: what it governs then counts as unknown here, and a change of it loses the compare-and-set.
func (s *schemas) takeSchema(rec control.Record) {
	v, err := control.Decode[control.Schema](rec)
	id, bad := strconv.ParseInt(rec.Name, 10, 32)
	if err = cmp.Or(err, bad); err != nil || rec.Removed() {
		s.logger.Error("schema is not readable", "id", rec.Name, "error", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = max(s.last, int32(id))
	if err != nil || rec.Removed() {
		return
	}
	c := &schema{Schema: v, guid: guidOf(v)}
	c.ID = int32(id)
	s.byID[c.ID] = c
	if key := c.identity(); s.byText[key] == nil {
		s.byText[key] = c
	}
	if s.byGUID[c.guid] == nil {
		s.byGUID[c.guid] = c
	}
}

func (s *schemas) takeSubject(rec control.Record) {
	sub := &subject{prev: rec.Offset}
	if !rec.Removed() {
		v, err := control.Decode[control.Subject](rec)
		if err != nil {
			s.logger.Error("subject is not readable", "subject", rec.Name, "error", err)
			return
		}
		sub.Subject = v
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subjects[rec.Name] = sub
}

func (s *schemas) takeSettings(rec control.Record) {
	var v control.SchemaSettings
	if !rec.Removed() {
		var err error
		if v, err = control.Decode[control.SchemaSettings](rec); err != nil {
			s.logger.Error("settings of schemas are not readable", "error", err)
			return
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settings = v
}

// guidOf is the GUID of a schema with its references.
func guidOf(v control.Schema) spec.SchemaGUID {
	return spec.GUIDOf([]byte(v.Text + referencesText(v.References)))
}

func referencesText(refs []control.SchemaReference) string {
	var out []byte
	for _, r := range refs {
		out = append(append(out, r.Name...), r.Subject...)
		out = binary.BigEndian.AppendUint32(out, uint32(r.Version))
	}
	return string(out)
}

// identity is what makes two schemas one.
func (c *schema) identity() string { return identityOf(c.Schema) }

func identityOf(v control.Schema) string {
	return v.Type + "\x00" + v.Text + "\x00" + referencesText(v.References)
}

// get finds a schema by its id.
func (s *schemas) get(id int32) *schema {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.byID[id]
}

func (s *schemas) find(guid spec.SchemaGUID) *schema {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.byGUID[guid]
}

// subject gives a subject; one that nobody ever wrote is empty.
func (s *schemas) subject(name string) *subject {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if sub := s.subjects[name]; sub != nil {
		return sub
	}
	return &subject{prev: control.None}
}

// names lists the subjects that have versions, hidden ones too.
func (s *schemas) names() []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []string
	for name, sub := range s.subjects {
		if len(sub.Versions) > 0 {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

func (s *schemas) all() control.SchemaSettings {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.settings
}

// version finds a version by its number.
func (s *subject) version(n int32) (control.SubjectVersion, bool) {
	for _, v := range s.Versions {
		if v.Version == n {
			return v, true
		}
	}
	return control.SubjectVersion{}, false
}

// live are the versions that are not hidden.
func (s *subject) live() []control.SubjectVersion {
	return slices.DeleteFunc(slices.Clone(s.Versions), func(v control.SubjectVersion) bool { return v.Deleted })
}

// users lists where the schemas that wanted names stand in references, hidden versions left out.
func (s *schemas) users(name string, version int32) []int32 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	ids := map[int32]bool{}
	for _, sub := range s.subjects {
		for _, v := range sub.live() {
			c := s.byID[v.ID]
			if c != nil && slices.ContainsFunc(c.References, func(r control.SchemaReference) bool {
				return r.Subject == name && r.Version == version
			}) {
				ids[v.ID] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(ids))
}

// reserve gives a schema an id: the one it has, the one that is asked for, or the next free one. ReasonControlConflict:
// somebody else took that id first.
func (s *schemas) reserve(ctx context.Context, v control.Schema, c change) (int32, error) {
	s.mu.RLock()
	known, last, taken := s.byText[identityOf(v)], s.last, s.byID[v.ID]
	s.mu.RUnlock()
	switch {
	case known != nil && (v.ID == 0 || v.ID == known.ID):
		return known.ID, nil
	case taken != nil && taken.identity() == identityOf(v):
		return v.ID, nil
	case taken != nil:
		return 0, errIDTaken
	case v.ID == 0:
		v.ID = last + 1
	}
	return v.ID, s.write(ctx, control.KindSchema, strconv.Itoa(int(v.ID)), control.None, v, c)
}

// errIDTaken says that the id a client asks for is another schema's.
var errIDTaken = errors.New("the id is another schema's")

// put replaces a subject that was read before.
func (s *schemas) put(ctx context.Context, name string, prev int64, v control.Subject, c change) error {
	return s.write(ctx, control.KindSubject, name, prev, v, c)
}

func (s *schemas) write(ctx context.Context, kind, name string, prev int64, value any, c change) error {
	rec, err := control.NewRecord(kind, name, prev, value)
	if err != nil {
		return err
	}
	rec.Actor, rec.Reason = c.actor, c.reason
	_, err = s.control.Change(ctx, rec)
	return err
}

// again does f until no other instance came between what it read and what it wrote.
func (s *schemas) again(ctx context.Context, f func() error) error {
	var err error
	for range attempts {
		if err = s.control.Barrier(ctx); err != nil {
			return err
		}
		if err = f(); !errors.Is(err, &autobus.Error{Reason: autobus.ReasonControlConflict}) {
			return err
		}
	}
	return err
}
