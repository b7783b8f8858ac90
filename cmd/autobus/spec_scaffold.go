// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"

	"github.com/autobus-io/autobus"
)

//go:embed scaffold
var scaffold embed.FS

// scaffolded is what the templates of new specs know.
type scaffolded struct {
	Type, Title, Domain, Entity, Action string
	Message, At                         string // OrderPlaced, placedAt
	Kind, Owner, Description, Replaces  string
	Major                               int
}

// newScaffold takes a type's name apart.
func newScaffold(name, kind, owner string) (scaffolded, error) {
	if !autobus.ValidType(name) {
		return scaffolded{}, usage("%s is not a legal event type", name).
			WithHint("%s", autobus.ReasonTypeInvalid.Info().Hint)
	}
	parts := strings.Split(name, ".")
	if len(parts) < 4 {
		return scaffolded{}, usage("%s has two parts before the version", name).
			WithHint("Name new types domain.entity.action.vN, such as orders.order.placed.v1.")
	}
	n := len(parts) - 1
	major, err := strconv.Atoi(parts[n][1:])
	if err != nil {
		return scaffolded{}, usage("%s is no version", parts[n]).WithHint("End the name with .v1.")
	}
	s := scaffolded{Type: name, Title: strings.Join(parts[:n], "."), Domain: parts[0], Entity: camel(parts[n-2]),
		Action: camel(parts[n-1]), Kind: kind, Owner: owner, Major: major}
	s.Message, s.At = upper(s.Entity)+upper(s.Action), s.Action+"At"
	s.Description = fmt.Sprintf("To be written: what it means that this %s was %s.", s.Entity, s.Action)
	if kind != "event" {
		s.Description = fmt.Sprintf("To be written: what it means to %s this %s.", s.Action, s.Entity)
	}
	return s, nil
}

// camel makes one word of words with hyphens.
func camel(s string) string {
	words := strings.Split(s, "-")
	for i := range words[1:] {
		words[i+1] = upper(words[i+1])
	}
	return strings.Join(words, "")
}

func upper(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// specFile is where a type's file belongs, relative to its repository.
func specFile(name string) string {
	domain, rest, _ := strings.Cut(name, ".")
	return "events/" + domain + "/" + rest + ".yaml"
}

func (s scaffolded) render() ([]byte, error) {
	file := "scaffold/event.yaml"
	if s.Kind != "event" {
		file = "scaffold/command.yaml"
	}
	t, err := template.ParseFS(scaffold, file)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = t.Execute(&b, s)
	return b.Bytes(), err
}

// create writes a file that must not be there yet.
func create(dir, name string, data []byte) error {
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return usage("%s is there already", path).WithHint("Delete it first, or choose another name.")
	}
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}
