// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"fmt"
	"math/rand/v2"
)

// Values that events can have.
const (
	JSON   = "json"   // an order, validated against its spec
	Opaque = "opaque" // bytes that nobody looks at
)

// MinSize is the smallest order that its spec accepts, and room for a name.
const MinSize = 64

// poolSize is how many different values there are, each with a key of its own: so many that events which are under way
// together seldom share a key, and so few that they fit into memory that is fast.
func poolSize(size int) int { return min(max(poolBytes/size, 1024), 16<<10) }

const poolBytes = 16 << 20

// payload is the data of one event.
type payload struct{ key, data []byte }

// pool makes values of about so many bytes: an order's lines are a hundred bytes each, so its note fills the rest.
// Orders are the same in every run.
func pool(value string, size int) []payload {
	random := rand.New(rand.NewPCG(1, uint64(size)))
	out := make([]payload, poolSize(size))
	for i := range out {
		key := fmt.Appendf(nil, "o-%06d", i)
		if value == Opaque {
			data := make([]byte, size)
			for j := range data {
				data[j] = letters[random.IntN(len(letters))]
			}
			out[i] = payload{key, data}
		} else {
			out[i] = payload{key, order(random, key, size)}
		}
	}
	return out
}

const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 ."

// order writes an order; small ones have only what is required.
func order(random *rand.Rand, id []byte, size int) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"order_id":"%s","currency":"%s","total":%d`, id, pick(random, "BYN", "KZT", "RUB"),
		1000+random.IntN(900_000))
	if size >= 400 {
		fmt.Fprintf(&b, `,"placed_at":"2026-%02d-%02dT10:%02d:00Z","express":%t,"customer":{"id":"c-%07d","country":"%s",`+
			`"city":"%s","segments":["%s","%s"]},"payment":{"method":"%s","installments":%d,"fee":%d.%02d}`,
			1+random.IntN(12), 1+random.IntN(28), random.IntN(60), random.IntN(2) == 0, random.IntN(10_000_000),
			pick(random, "by", "kz", "ru", "ua"), pick(random, "Almaty", "Minsk", "Moscow", "Kazan"),
			pick(random, "new", "regular"), pick(random, "mobile", "web"), pick(random, "card", "cash", "transfer"),
			1+random.IntN(4), random.IntN(90), random.IntN(100))
	}
	for i := 0; size-b.Len() > 250 && i < maxLines; i++ {
		if i == 0 {
			b.WriteString(`,"items":[`)
		} else {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"sku":"%s-%d","name":"%s %s","quantity":%d,"price":%d}`,
			pick(random, "boots", "coat", "dress", "hat"), 36+random.IntN(12), pick(random, "red", "green", "blue", "black"),
			pick(random, "leather", "wool", "cotton", "linen"), 1+random.IntN(3), 990+random.IntN(50_000))
		if next := size - b.Len(); next <= 250 || i == maxLines-1 {
			b.WriteByte(']')
		}
	}
	if left := size - b.Len() - len(`,"note":""}`); left > 0 {
		b.WriteString(`,"note":"`)
		for range left {
			b.WriteByte(letters[random.IntN(len(letters))])
		}
		b.WriteByte('"')
	}
	b.WriteByte('}')
	return b.Bytes()
}

// maxLines is how many lines the spec lets an order have.
const maxLines = 200

func pick(r *rand.Rand, of ...string) string { return of[r.IntN(len(of))] }

// TypeName is the event type that a bench publishes: one per value and partition count, because a route's count is
// pinned.
func TypeName(value string, partitions int) string {
	return fmt.Sprintf("bench.%s.p%d.v1", value, partitions)
}

// Spec is the AsyncAPI document of that type. Its topic keeps an hour at most: what a bench writes is of no use.
func Spec(value string, partitions int) []byte {
	name := TypeName(value, partitions)
	message := orderText
	if value == Opaque {
		message = opaqueText
	}
	return append(fmt.Appendf(nil, specText, name, name, partitions), message...)
}

const specText = `# SPDX-License-Identifier: Apache-2.0
asyncapi: 3.1.0
id: urn:event:%s
info:
  title: bench
  version: 1.0.0
  description: What autobus bench makes up.
  tags: [{name: 'kind:event'}, {name: 'domain:bench'}]
  x-owner: bench
  x-lifecycle: active
channels:
  bench:
    address: %s
    messages: {bench: {$ref: '#/components/messages/bench'}}
    x-durability: best-effort
    bindings:
      kafka:
        partitions: %d
        topicConfiguration: {cleanup.policy: [delete], retention.ms: 3600000}
        bindingVersion: 0.5.0
operations:
  publish: {action: send, channel: {$ref: '#/channels/bench'}}
components:
  messages:
    bench:
`

const opaqueText = `      name: Bytes
      contentType: application/octet-stream
`

const orderText = `      name: Order
      bindings: {kafka: {key: {type: string, x-from: /order_id}, bindingVersion: 0.5.0}}
      payload: {$ref: '#/components/schemas/Order'}
  schemas:
    Order:
      type: object
      required: [order_id, currency, total]
      properties:
        order_id: {type: string, minLength: 1, maxLength: 32, pattern: '^o-[0-9]+$'}
        currency: {type: string, enum: [BYN, KZT, RUB]}
        total: {type: integer, minimum: 0}
        placed_at: {type: string, format: date-time}
        express: {type: boolean}
        customer:
          type: object
          required: [id, country]
          properties:
            id: {type: string, maxLength: 32}
            country: {type: string, minLength: 2, maxLength: 2}
            city: {type: string, maxLength: 64}
            segments: {type: array, maxItems: 8, items: {type: string, maxLength: 32}}
        payment:
          type: object
          required: [method]
          properties:
            method: {type: string, enum: [card, cash, transfer]}
            installments: {type: integer, minimum: 1, maximum: 24}
            fee: {type: number, minimum: 0}
        items:
          type: array
          maxItems: 200
          items:
            type: object
            required: [sku, quantity, price]
            properties:
              sku: {type: string, maxLength: 32}
              name: {type: string, maxLength: 64}
              quantity: {type: integer, minimum: 1}
              price: {type: integer, minimum: 0}
        note: {type: string}
`
