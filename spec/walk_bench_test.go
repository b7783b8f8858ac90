// SPDX-License-Identifier: Apache-2.0

package spec

import "testing"

// shopOrder is an order as shops send it, 1 KB without white space.
const shopOrder = `{"event_id":"0190e2d8-7c3a-7c3a-8c3a-0190e2d87c3a","order_id":"ORD-20260131-000471",` +
	`"placed_at":"2026-01-31T12:34:56.789Z","status":"paid","channel":"web","currency":"EUR","total":1284.5,` +
	`"item_count":7,` +
	`"customer":{"id":"0190e2d8-1111-7c3a-8c3a-0190e2d87c3b","email":"mira.novak@example.com","name":"Mira Nováková",` +
	`"phone":"+420601234567","vip":false,` +
	`"address":{"street":"Dlouhá 12/4","city":"Praha","zip":"11000","country":"CZ"}},` +
	`"items":[{"sku":"BOOTS-BLACK-42","name":"Winter boots","quantity":1,"unit_price":899.9,"tax_rate":0.21},` +
	`{"sku":"SHIRT-WHITE-M","name":"Linen shirt","quantity":2,"unit_price":49.5,"tax_rate":0.21},` +
	`{"sku":"SOCKS-GREY-39","name":"Wool socks","quantity":3,"unit_price":12.2,"tax_rate":0.21},` +
	`{"sku":"SCARF-RED-STD","name":"Scarf","quantity":1,"unit_price":249,"tax_rate":0.15}],` +
	`"payment":{"method":"card","brand":"visa","last4":"4242"},` +
	`"shipping":{"carrier":"dhl","price":0,"promised_on":"2026-02-03","tracking":["JD014600003RU","JD014600004RU"]},` +
	`"tags":["winter","repeat"],"note":null}`

const shopOrderSchema = `
          type: object
          required: [event_id, order_id, placed_at, status, currency, total, customer, items, payment]
          properties:
            event_id: {type: string, format: uuid}
            order_id: {type: string, pattern: '^ORD-[0-9]{8}-[0-9]{6}$'}
            placed_at: {type: string, format: date-time}
            status: {type: string, enum: [new, paid, packed, shipped, cancelled]}
            channel: {type: string, enum: [web, app, shop]}
            currency: {type: string, pattern: '^[A-Z]{3}$'}
            total: {type: number, minimum: 0, maximum: 1000000}
            item_count: {type: integer, minimum: 1, maximum: 1000}
            customer:
              type: object
              required: [id, email, address]
              properties:
                id: {type: string, format: uuid}
                email: {type: string, format: email}
                name: {type: string, minLength: 1, maxLength: 100}
                phone: {type: string, pattern: '^\+[1-9][0-9]{6,14}$'}
                vip: {type: boolean}
                address:
                  type: object
                  required: [street, city, country]
                  properties:
                    street: {type: string, maxLength: 200}
                    city: {type: string, maxLength: 100}
                    zip: {type: string, maxLength: 16}
                    country: {type: string, minLength: 2, maxLength: 2}
            items:
              type: array
              minItems: 1
              maxItems: 500
              items:
                type: object
                required: [sku, quantity, unit_price]
                properties:
                  sku: {type: string, pattern: '^[A-Z0-9][A-Z0-9-]{2,39}$'}
                  name: {type: string, maxLength: 200}
                  quantity: {type: integer, format: int32, minimum: 1}
                  unit_price: {type: number, minimum: 0}
                  tax_rate: {type: number, minimum: 0, exclusiveMaximum: 1}
            payment:
              oneOf:
                - type: object
                  required: [method, last4]
                  properties:
                    method: {const: card}
                    brand: {type: string}
                    last4: {type: string, pattern: '^[0-9]{4}$'}
                - {type: object, required: [method], properties: {method: {const: cash}}}
            shipping:
              type: object
              properties:
                carrier: {type: string}
                price: {type: number, minimum: 0}
                promised_on: {type: string, format: date}
                tracking: {type: array, items: {type: string, maxLength: 64}}
            tags: {type: array, items: {type: string, maxLength: 32}}
            note: {type: [string, 'null'], maxLength: 500}`

func shopOrderType(t testing.TB) *Type {
	return typeOf(t, shopOrderSchema, "bindings: {kafka: {key: {type: string, x-from: /order_id}}}")
}

// BenchmarkCheckOrder checks and takes the key of a valid event of 1 KB, as publishing does.
func BenchmarkCheckOrder(b *testing.B) {
	ty := shopOrderType(b)
	data := []byte(shopOrder)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if key, keyErr, err := ty.CheckKey(data); key == nil || keyErr != nil || err != nil {
			b.Fatal(key, keyErr, err)
		}
	}
}

// BenchmarkJudgeOrder is the same by the long way, on which the validator decides.
func BenchmarkJudgeOrder(b *testing.B) {
	ty := shopOrderType(b)
	data := []byte(shopOrder)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if err := ty.judge(data); err != nil {
			b.Fatal(err)
		}
	}
}

func TestTheWalkAllocatesNothing(t *testing.T) {
	ty := shopOrderType(t)
	if !ty.program.whole {
		t.Error("something of the order's schema is left to the validator")
	}
	data := []byte(shopOrder)
	if n := testing.AllocsPerRun(100, func() {
		if key, keyErr, err := ty.CheckKey(data); string(key) != "ORD-20260131-000471" || keyErr != nil || err != nil {
			t.Fatal(string(key), keyErr, err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
