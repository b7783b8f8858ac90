// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"bytes"
	"crypto/md5" //nolint:gosec // what schema registries name a schema by; nothing is secured with it
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// SchemaGUID names a schema by its text, as the schema registries that Kafka clients speak to reckon it: the MD5 of the
// text. The same text has the same GUID everywhere.
type SchemaGUID [md5.Size]byte

// GUIDOf is the GUID of a schema's text that refers to no other schema.
func GUIDOf(text []byte) SchemaGUID { return md5.Sum(text) } //nolint:gosec // see SchemaGUID

// String writes the GUID as a UUID is written.
func (g SchemaGUID) String() string {
	h := hex.EncodeToString(g[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// guidForm says in the header __value_schema_id that a GUID follows.
const guidForm = 0x01

// identity is how events of a type say which schema judged their data: made once, for it stands in each of them.
type identity struct {
	published []byte // the schema as it is published
	guid      SchemaGUID
	uri       []byte // the published schema's $id
	header    []byte // guidForm and the GUID
}

// identify makes the identity of a type whose data has a schema that is an object.
func (t *Type) identify() {
	n, err := jsonNode(t.Schema)
	if err != nil || n.form != object {
		return
	}
	uri := "urn:event:" + t.Name + ":" + t.Version
	out := obj("$schema", text0("http://json-schema.org/draft-07/schema#"), "$id", text0(uri))
	for i, k := range n.keys {
		out.set(k.name, n.values[i])
	}
	text := out.raw()
	guid := GUIDOf(text)
	t.identity = &identity{published: text, guid: guid, uri: []byte(uri), header: append([]byte{guidForm}, guid[:]...)}
}

// PublishedSchema is the schema of the type's data as one JSON Schema draft-07 without white space, which names itself
// by type and version and refers to nothing outside itself, and its GUID. Not ok: no schema judges the data. The text
// is not to be changed.
func (t *Type) PublishedSchema() (text []byte, guid SchemaGUID, ok bool) {
	if t.identity == nil {
		return nil, guid, false
	}
	return t.identity.published, t.identity.guid, true
}

// SchemaHeaders are the values by which a record says which schema its data was checked by: the URI of the schema, for
// ce_dataschema, and what Kafka clients look the schema up by, for __value_schema_id. Not ok: no schema judges the
// data. They are one piece of memory for all events of the type and not to be changed.
func (t *Type) SchemaHeaders() (uri, valueSchemaID []byte, ok bool) {
	if t.identity == nil {
		return nil, nil, false
	}
	return t.identity.uri, t.identity.header, true
}

// ExportJSONSchema writes the schema of a type's data as a JSON Schema draft-07 that refers to nothing outside itself.
func (t *Type) ExportJSONSchema() ([]byte, error) {
	text, _, ok := t.PublishedSchema()
	if !ok {
		return nil, fmt.Errorf("%s has no schema", t.Name)
	}
	var b bytes.Buffer
	err := json.Indent(&b, text, "", "  ")
	b.WriteByte('\n')
	return b.Bytes(), err
}
