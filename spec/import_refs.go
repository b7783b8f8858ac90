// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/autobus-io/autobus"
)

// importer brings a foreign schema and the files that it refers to into one place.
type importer struct {
	*parser
	read  func(name string) ([]byte, error)
	names map[string]string // id of a place -> the schema that it becomes
	taken map[string]bool
	queue []definition
	ids   map[string]place // what $id, id and $anchor name, by absolute address
	left  []string
}

// open reads the file and all that it refers to, and gives the place of the schema.
func (m *importer) open(file, pointer string) (place, error) {
	if pointer = strings.TrimPrefix(pointer, "#"); pointer != "" && !validPointer(pointer) {
		return place{}, autobus.NewError(autobus.ReasonSpecInvalid, "%s is not a JSON pointer", pointer).
			WithHint("Write /definitions/Order.")
	}
	if err := m.load(path.Clean(file)); err != nil {
		return place{}, err
	}
	root := place{file: path.Clean(file), node: m.docs[path.Clean(file)]}
	for _, step := range tokens(pointer) {
		if root = root.child(step); root.node == nil {
			return root, autobus.NewError(autobus.ReasonSpecInvalid, "%s has no %s", file, pointer).
				WithHint("Name a schema of the file, such as /definitions/Order.")
		}
	}
	return root, nil
}

// load reads a file once, makes its references pointers into files, and loads these.
func (m *importer) load(file string) error {
	if m.docs[file] != nil {
		return nil
	}
	data, err := m.read(file)
	if err != nil {
		return readError(file, err)
	}
	n, err := schemaNode(file, data)
	if err != nil {
		return err
	}
	m.docs[file] = n
	base := &url.URL{Scheme: "file", Path: "/" + file}
	whole := place{file: file, node: n}
	m.ids[base.String()] = whole
	m.name(whole, base, false)
	return m.refer(whole, base, false)
}

// baseOf is the address that references below a schema are relative to.
func baseOf(n *node, base *url.URL) *url.URL {
	for _, word := range []string{"$id", "id"} {
		if id := n.str(word); id != "" && !strings.HasPrefix(id, "#") {
			if next, err := base.Parse(id); err == nil {
				next.Fragment = ""
				return next
			}
		}
	}
	return base
}

// name notes what has an address of its own.
func (m *importer) name(p place, base *url.URL, names bool) {
	if !names {
		if own := baseOf(p.node, base); own != base { // "#name" is none: it names a place, not a document
			base = own
			m.ids[base.String()] = p
		}
		for _, word := range []string{"$id", "id", "$anchor"} {
			if name := strings.TrimPrefix(p.node.str(word), "#"); name != "" && (word == "$anchor" ||
				name != p.node.str(word)) {
				m.ids[base.String()+"#"+name] = p
			}
		}
	}
	_ = m.each(p, names, func(next place, names bool) error { // never an error
		m.name(next, base, names)
		return nil
	})
}

// each visits what is below p and may be or hold a schema.
func (m *importer) each(p place, names bool, visit func(next place, names bool) error) error {
	var errs []error
	switch p.node.form {
	case object:
		for i, k := range p.node.keys {
			if !names && slices.Contains(dataBelow, k.name) {
				continue
			}
			next := place{p.file, append(slices.Clip(p.path), k.name), p.node.values[i]}
			below := slices.Contains(namesBelow, k.name) || k.name == "$defs" || k.name == "dependentSchemas"
			errs = append(errs, visit(next, !names && below))
		}
	case list:
		for i, v := range p.node.values {
			errs = append(errs, visit(place{p.file, append(slices.Clip(p.path), itoa(i)), v}, false))
		}
	case literal, str:
	}
	return errors.Join(errs...)
}

// refer turns every reference into a pointer within a file that is loaded.
func (m *importer) refer(p place, base *url.URL, names bool) error {
	if !names {
		base = baseOf(p.node, base)
		if ref, ok := p.node.ref(); ok {
			to, err := m.pointTo(p.file, ref, base)
			if err != nil {
				return autobus.NewError(autobus.ReasonSpecInvalid, "%s: $ref %s at %s: %v", p.file, ref, pointer(p.path), err).
					WithHint("Fetch what it names into a file beside %s, and refer to that.", p.file)
			}
			p.node.get("$ref").value = to
		}
	}
	return m.each(p, names, func(next place, names bool) error { return m.refer(next, base, names) })
}

func (m *importer) pointTo(file, ref string, base *url.URL) (string, error) {
	whole, err := base.Parse(ref)
	if err != nil {
		return "", err
	}
	fragment := whole.Fragment
	whole.Fragment, whole.RawFragment = "", ""
	if to, ok := m.ids[whole.String()+"#"+fragment]; ok && fragment != "" {
		return m.relative(file, to, ""), nil
	}
	to, ok := m.ids[whole.String()]
	if !ok {
		beside, ok := besideOf(base, whole, ref)
		if !ok {
			return "", errors.New("it is not read over the network, nor from outside of the folder")
		}
		name := path.Join(path.Dir(file), beside)
		if name == ".." || strings.HasPrefix(name, "../") {
			return "", errors.New("it leads out of the folder")
		}
		if err := m.load(name); err != nil {
			return "", err
		}
		to = place{file: name}
	}
	if fragment != "" && !validPointer(fragment) {
		return "", fmt.Errorf("there is no anchor %s", fragment)
	}
	return m.relative(file, to, fragment), nil
}

// besideOf is the path from a file to one that it refers to: as written, or, where the file gives itself an address, as
// the other's lies below the same folder.
func besideOf(base, whole *url.URL, ref string) (name string, ok bool) {
	if relative, err := url.Parse(ref); err == nil && !relative.IsAbs() && relative.Host == "" {
		return relative.Path, !strings.HasPrefix(relative.Path, "/")
	}
	if base.Scheme != whole.Scheme || base.Host == "" || base.Host != whole.Host {
		return "", false
	}
	return strings.CutPrefix(whole.Path, strings.TrimSuffix(path.Dir(base.Path), "/")+"/")
}

// relative writes a reference from one file to a place and below.
func (m *importer) relative(from string, to place, below string) string {
	file := ""
	if to.file != from {
		file = strings.Repeat("../", strings.Count(from, "/")) + to.file
	}
	steps := (&url.URL{Path: pointer(to.path) + below}).EscapedPath()
	return strings.ReplaceAll(file, "%", "%25") + "#" + steps
}
