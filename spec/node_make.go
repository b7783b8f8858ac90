// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"
)

func text0(s string) *node { return &node{form: str, value: s} }

func arr(values ...*node) *node { return &node{form: list, values: values} }

// obj makes an object of names and nodes in turn.
func obj(members ...any) *node {
	n := &node{form: object}
	for i := 0; i+1 < len(members); i += 2 {
		name, isName := members[i].(string)
		value, isNode := members[i+1].(*node)
		if isName && isNode {
			n.set(name, value)
		}
	}
	return n
}

// set gives an object one more member.
func (n *node) set(name string, value *node) {
	n.keys = append(n.keys, key{name: name})
	n.values = append(n.values, value)
}

// yaml is the node as a YAML document.
func (n *node) yaml() []byte {
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	_ = enc.Encode(n.yamlNode()) // plain values into memory
	_ = enc.Close()
	return b.Bytes()
}

func (n *node) yamlNode() *yaml.Node {
	switch n.form {
	case str:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: n.value}
	case object:
		y := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		for i, k := range n.keys {
			y.Content = append(y.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: k.name},
				n.values[i].yamlNode())
		}
		return y
	case list:
		y := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		for _, v := range n.values {
			y.Content = append(y.Content, v.yamlNode())
		}
		return y
	case literal:
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Value: n.text}
}

// jsonNode reads JSON into a node without positions, keys in their order.
func jsonNode(data []byte) (*node, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	n, err := decodeNode(dec, 0)
	if err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the value")
	}
	return n, nil
}

func decodeNode(dec *json.Decoder, depth int) (*node, error) {
	if depth > maxYAMLDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxYAMLDepth)
	}
	token, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch v := token.(type) {
	case string:
		return text0(v), nil
	case json.Number:
		return &node{text: v.String()}, nil
	case bool:
		return &node{text: fmt.Sprint(v)}, nil
	case json.Delim:
		return decodeContainer(dec, v, depth)
	}
	return &node{text: "null"}, nil
}

func decodeContainer(dec *json.Decoder, open json.Delim, depth int) (*node, error) {
	n := &node{form: list}
	if open == '{' {
		n.form = object
	}
	for dec.More() {
		name := ""
		if open == '{' {
			token, err := dec.Token()
			if err != nil {
				return nil, err
			}
			name, _ = token.(string)
		}
		value, err := decodeNode(dec, depth+1)
		switch {
		case err != nil:
			return nil, err
		case open != '{':
			n.values = append(n.values, value)
		case n.get(name) == nil: // the first of two counts
			n.set(name, value)
		}
	}
	_, err := dec.Token()
	return n, err
}
