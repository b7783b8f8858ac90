// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
)

// place is a node and the way to it.
type place struct {
	file string
	path []string
	node *node
}

// id names the place in one word.
func (p place) id() string { return p.file + "#" + pointer(p.path) }

// child takes one step; the node of a place that does not exist is nil.
func (p place) child(token string) place {
	return place{p.file, append(slices.Clip(p.path), token), p.node.child(token)}
}

// refLoop is the error of references that lead only to each other.
type refLoop struct{ ids []string }

func (e refLoop) Error() string {
	return "the references go in a circle: " + strings.Join(e.ids, " -> ")
}

// errElsewhere is the error of a reference whose way leads through something broken that is reported itself.
var errElsewhere = errors.New("a file or reference on the way is broken")

// resolve follows references from p until something else stands there.
func (r *parser) resolve(p place) (place, error) { return r.follow(p, nil) }

func (r *parser) follow(p place, seen []string) (place, error) {
	for {
		ref, ok := p.node.ref()
		if !ok {
			return p, nil
		}
		if i := slices.Index(seen, p.id()); i >= 0 {
			return p, refLoop{append(seen[i:], p.id())}
		}
		seen = append(slices.Clip(seen), p.id())
		var err error
		if p, err = r.target(p.file, ref, seen); err != nil {
			return p, err
		}
	}
}

// target is the place that a reference in a file names. On the way through the file it follows references too.
func (r *parser) target(file, ref string, seen []string) (place, error) {
	to, fragment, _ := strings.Cut(ref, "#")
	if to != "" {
		unescaped, err := url.PathUnescape(to)
		if err != nil || strings.Contains(to, "://") || path.IsAbs(unescaped) {
			return place{}, fmt.Errorf("$ref %s leads out of the spec repository", ref)
		}
		file = path.Join(path.Dir(file), unescaped)
		if file == ".." || strings.HasPrefix(file, "../") {
			return place{}, fmt.Errorf("$ref %s leads out of the spec repository", ref)
		}
	}
	root, ok := r.docs[file]
	if !ok {
		if _, broken := r.files[file]; broken {
			return place{}, errElsewhere
		}
		return place{}, fmt.Errorf("$ref %s: there is no file %s", ref, file)
	}
	fragment, err := url.PathUnescape(fragment)
	if err != nil || fragment != "" && !validPointer(fragment) {
		return place{}, fmt.Errorf("$ref %s: what follows # must be a JSON pointer such as #/components/schemas/Order", ref)
	}
	p := place{file: file, node: root}
	for _, token := range tokens(fragment) {
		next := p.child(token)
		if next.node == nil {
			if p, err = r.follow(p, seen); err != nil {
				return p, fmt.Errorf("%w: %w", errElsewhere, err)
			}
			next = p.child(token)
		}
		if next.node == nil {
			return place{}, fmt.Errorf("$ref %s: %s has no %s", ref, file, pointer(next.path))
		}
		p = next
	}
	return p, nil
}

// walk takes steps and follows references between them; what is broken is reported by checkRefs.
func (r *parser) walk(p place, steps ...string) place {
	for _, step := range steps {
		p = p.child(step)
		if to, err := r.resolve(p); err == nil {
			p = to
		}
	}
	return p
}

// said walks from a message or an operation, and where that says nothing from its traits.
func (r *parser) said(p place, steps ...string) place {
	at, traits := r.walk(p, steps...), p.child("traits")
	for i := 0; at.node == nil && traits.node != nil && i < len(traits.node.values); i++ {
		at = r.walk(traits, append([]string{strconv.Itoa(i)}, steps...)...)
	}
	return at
}

// namesBelow are the keys of specs and schemas below which keys are names that somebody chose.
var namesBelow = []string{"properties", "patternProperties", "definitions", "schemas", "messages", "channels",
	"operations", "parameters", "messageTraits", "operationTraits", "dependencies"}

// dataBelow are the keys below which stands data, in which $ref means nothing.
var dataBelow = []string{"examples", "example", "const", "enum", "default"}

// checkRefs reports every reference that leads nowhere, out of the repository, or in a circle.
func (r *parser) checkRefs(p place, names bool) {
	if !names {
		if ref, ok := p.node.ref(); ok {
			r.checkRef(p, ref)
		}
	}
	switch p.node.form {
	case object:
		for i, k := range p.node.keys {
			if !names && slices.Contains(dataBelow, k.name) {
				continue
			}
			next := place{p.file, append(slices.Clip(p.path), k.name), p.node.values[i]}
			r.checkRefs(next, !names && slices.Contains(namesBelow, k.name))
		}
	case list:
		for i, v := range p.node.values {
			r.checkRefs(place{p.file, append(slices.Clip(p.path), fmt.Sprint(i)), v}, false)
		}
	case literal, str:
	}
}

func (r *parser) checkRef(p place, ref string) {
	_, err := r.target(p.file, ref, []string{p.id()})
	if err != nil && !errors.Is(err, errElsewhere) {
		r.report(p.child("$ref"), hintForRef(ref), "%v", err)
		return
	}
	var loop refLoop
	if _, err = r.resolve(p); errors.As(err, &loop) && loop.ids[0] == p.id() {
		r.report(p.child("$ref"), "Break the circle: one of them must be a schema of its own.", "%v", err)
	}
}

func hintForRef(ref string) string {
	if strings.HasPrefix(ref, "#") {
		return "Write the pointer as it stands in this file, such as #/components/schemas/Order."
	}
	return "Name a file of the repository relative to this one, such as ../../common/money.yaml#/components/schemas/Money."
}
