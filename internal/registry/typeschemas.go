// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/spec"
)

// Types of schemas.
const (
	typeJSON = "JSON"
	typeAvro = "AVRO"
)

const (
	valueSuffix = "-value"
	keySuffix   = "-key"
)

// keep gives the published schema of each type an id and a version of the type's subject, where it has none yet. It
// comes before the swap: an event that names a schema must never be there before that schema can be looked up.
func (r *Registry) keep(ctx context.Context, s *spec.Snapshot, c change) error {
	for _, t := range s.Types() {
		if r.kept(t) {
			continue
		}
		if err := r.schemas.again(ctx, func() error { return r.keepType(ctx, t, c) }); err != nil {
			return err
		}
	}
	return nil
}

// kept reports whether there is nothing to do for a type.
func (r *Registry) kept(t *spec.Type) bool {
	_, guid, ok := t.PublishedSchema()
	if !ok {
		return true
	}
	c := r.schemas.find(guid)
	return c != nil && slices.ContainsFunc(r.schemas.subject(t.Name+valueSuffix).Versions,
		func(v control.SubjectVersion) bool { return v.ID == c.ID && !v.Deleted && v.Spec == t.Version })
}

func (r *Registry) keepType(ctx context.Context, t *spec.Type, c change) error {
	text, _, ok := t.PublishedSchema()
	if !ok || r.kept(t) {
		return nil
	}
	id, err := r.schemas.reserve(ctx, control.Schema{Type: typeJSON, Text: string(text)}, c)
	if err != nil {
		return err
	}
	name := t.Name + valueSuffix
	sub := r.schemas.subject(name)
	next := sub.Subject
	next.Versions = slices.Clone(next.Versions)
	for i, v := range next.Versions {
		if v.ID == id { // a client registered the same text before there was a spec
			next.Versions[i].Deleted, next.Versions[i].Spec = false, t.Version
			return r.schemas.put(ctx, name, sub.prev, next, c)
		}
	}
	next.Versions = append(next.Versions, control.SubjectVersion{Version: nextVersion(next), ID: id, Spec: t.Version})
	return r.schemas.put(ctx, name, sub.prev, next, c)
}

func nextVersion(s control.Subject) int32 {
	if len(s.Versions) == 0 {
		return 1
	}
	return s.Versions[len(s.Versions)-1].Version + 1
}

// ofType gives the type that a subject belongs to, and for which part of its records it is. Not ok: the subject is
// nobody's but the clients'.
func (r *Registry) ofType(name string) (t *spec.Type, suffix string, ok bool) {
	for _, suffix := range []string{valueSuffix, keySuffix} {
		typ, cut := strings.CutSuffix(name, suffix)
		if !cut {
			continue
		}
		if t, known := r.Snapshot().Type(typ); known {
			return t, suffix, true
		}
	}
	return nil, "", false
}

// current is the version of a type's subject that is in force. After a push of older specs it is not the last one.
func (r *Registry) current(t *spec.Type, sub *subject) (control.SubjectVersion, bool) {
	_, guid, _ := t.PublishedSchema()
	c := r.schemas.find(guid)
	for _, v := range slices.Backward(sub.Versions) {
		if c != nil && v.ID == c.ID {
			return v, true
		}
	}
	return control.SubjectVersion{}, false
}

// Keep gives schemas that came into force by a build without a schema registry their ids, after each swap, until ctx
// ends. What pushes wrote is there already.
func (r *Registry) Keep(ctx context.Context) error {
	for {
		again := time.After(time.Duration(1<<63 - 1))
		bounded, cancel := context.WithTimeout(ctx, pushTimeout)
		err := r.keep(bounded, r.Snapshot(), change{"autobus", "schemas in force"})
		cancel()
		if err != nil && ctx.Err() == nil {
			r.cfg.Logger.Warn("schemas in force have no ids yet; that will be tried again", "error", err)
			again = time.After(subscribeAgain)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-r.swappedSchemas:
		case <-again:
		}
	}
}
