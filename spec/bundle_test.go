// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"strings"
	"sync"
	"testing"
)

const moneyFile = `asyncapi: 3.1.0
info: {title: money, version: 1.0.0}
components:
  messageTraits:
    keyed: {bindings: {$ref: '#/components/messageBindings/keyed'}}
  messageBindings:
    keyed: {kafka: {key: {type: string, x-from: /id}}}
  schemas:
    Money: {type: object, properties: {amount: {type: string}, tax: {$ref: '#/components/schemas/Money'}}}
`

func TestBundle(t *testing.T) {
	event := `asyncapi: 3.1.0
info: {title: t, version: 1.0.0}
channels:
  t: {$ref: '#/components/channels/t'}
components:
  channels:
    t:
      address: tests.thing.made.v1
      messages: {m: {$ref: '#/components/messages/m'}}
  messages:
    m:
      traits: [{$ref: '../common/money.yaml#/components/messageTraits/keyed'}]
      payload:
        schemaFormat: application/schema+json;version=draft-07
        schema: {$ref: '#/components/schemas/Thing'}
  schemas:
    Thing:
      $id: https://example.com/thing
      type: object
      properties:
        id: {type: string, description: 'kept <as> written'}
        price: {$ref: '../common/money.yaml#/components/schemas/Money', description: ignored beside a reference}
        own: {$ref: '#/components/schemas/Money'}
        parts: {type: array, items: {$ref: '#/components/schemas/Thing'}}
        $ref: {type: string}
    Money: {type: integer}
`
	s, err := Parse(Files{"events/t.yaml": []byte(event), "common/money.yaml": []byte(moneyFile)})
	if err != nil {
		t.Fatal(err)
	}
	ty, _ := s.Type("tests.thing.made.v1")
	want := `{"type":"object","properties":{"id":{"type":"string","description":"kept <as> written"},` +
		`"price":{"$ref":"#/definitions/Money"},"own":{"$ref":"#/definitions/Money2"},` +
		`"parts":{"type":"array","items":{"$ref":"#"}},"$ref":{"type":"string"}},` +
		`"definitions":{"Money":{"type":"object","properties":{"amount":{"type":"string"},` +
		`"tax":{"$ref":"#/definitions/Money"}}},"Money2":{"type":"integer"}}}`
	if string(ty.Schema) != want {
		t.Errorf("\n got %s\nwant %s", ty.Schema, want)
	}
	if ty.KeyPointer != "/id" {
		t.Errorf("the trait's key is lost: %q", ty.KeyPointer)
	}
	expect(t, ty, `{"id":"a","price":{"tax":{"amount":"1"}},"own":1,"parts":[{"own":2}],"$ref":"x"}`)
	expect(t, ty, `{"price":{"tax":{"tax":{"sum":1}}},"parts":[{"own":"x"}]}`, "data_invalid",
		"/parts/0/own type integer string", "/price/tax/tax/sum undeclared")
}

func TestATypeIsSafeForManyReaders(t *testing.T) {
	ty, _ := parseDir(t, "testdata/shop").Type("orders.order.placed.v1")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				if err := ty.Check([]byte(order)); err != nil {
					t.Error(err)
				}
				if err := ty.Check([]byte(strings.Replace(order, "paid", "lost", 1))); err == nil {
					t.Error("accepted")
				}
				if key, err := ty.Key([]byte(order)); err != nil || string(key) != "o-4711" {
					t.Errorf("got %s, %v", key, err)
				}
			}
		})
	}
	wg.Wait()
}
