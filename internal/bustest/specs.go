// SPDX-License-Identifier: Apache-2.0

package bustest

import (
	"fmt"
	"strings"
)

// Types names the event types of one run of the conformance suite.
type Types struct {
	Keyed   string // key = the string /order, six partitions
	Number  string // key = the integer /id
	Keyless string // no key, six partitions
	Sarama  string // as Keyed, partitioned with sarama's hash
	Small   string // as Keyed, its topic takes at most SmallTopicBytes
	Weak    string // its topic has one replica, and the spec does not say that this is meant
	Loose   string // its topic has one replica, best-effort
	Work    string // as Keyed, WorkPartitions partitions
	Query   string // a query, answered by an object with the integer amount
	Late    string // as Work, and matched by the pattern of Work; not among Specs, but among LateSpecs
}

// Partitions is how many partitions each type of the suite has, except where one is enough.
const Partitions = 6

// WorkPartitions is how many partitions Types.Work has.
const WorkPartitions = 4

// SmallTopicBytes is max.message.bytes of Types.Small.
const SmallTopicBytes = 65536

// NewTypes names the types under a prefix.
func NewTypes(prefix string) Types {
	return Types{
		Keyed: prefix + ".order.placed.v1", Number: prefix + ".number.set.v1", Keyless: prefix + ".signal.sent.v1",
		Sarama: prefix + ".sarama.placed.v1", Small: prefix + ".small.placed.v1", Weak: prefix + ".weak.placed.v1",
		Loose: prefix + ".loose.placed.v1", Work: prefix + ".work.now.done.v1", Late: prefix + ".work.late.done.v1",
		Query: prefix + ".quote.price.v1",
	}
}

// Specs returns the files of a spec repository that declares the types: slash path to content.
func (ts Types) Specs() map[string][]byte {
	files := map[string][]byte{}
	add := func(s specFile) { files["events/conf/"+s.name+".yaml"] = s.text() }
	add(specFile{name: ts.Keyed, key: "/order", partitions: Partitions, replicas: 3})
	add(specFile{name: ts.Number, key: "/id", partitions: Partitions, replicas: 3})
	add(specFile{name: ts.Keyless, partitions: Partitions, replicas: 3})
	add(specFile{name: ts.Sarama, key: "/order", partitions: Partitions, replicas: 3,
		channel: "x-partitioner: sarama"})
	add(specFile{name: ts.Small, key: "/order", partitions: 1, replicas: 3,
		config: fmt.Sprintf("max.message.bytes: %d", SmallTopicBytes)})
	add(specFile{name: ts.Weak, key: "/order", partitions: 1, replicas: 1})
	add(specFile{name: ts.Loose, key: "/order", partitions: 1, replicas: 1, channel: "x-durability: best-effort"})
	add(specFile{name: ts.Work, key: "/order", partitions: WorkPartitions, replicas: 3})
	files["events/conf/"+ts.Query+".yaml"] = []byte(strings.ReplaceAll(querySpec, "QUERY", ts.Query))
	return files
}

// querySpec declares Types.Query.
const querySpec = `
asyncapi: 3.1.0
info: {title: A query of the conformance suite., version: 1.0.0, tags: [{name: 'kind:query'}]}
channels:
  request:
    address: QUERY
    messages: {it: {payload: {type: object, properties: {order: {type: string}}}}}
    bindings: {kafka: {partitions: 1, replicas: 3, topicConfiguration: {min.insync.replicas: 2}, bindingVersion: 0.5.0}}
  reply:
    address: QUERY.reply
    messages: {it: {payload: {type: object, required: [amount], properties: {amount: {type: integer}}}}}
`

// LateSpecs is the same repository later: it declares Late as well.
func (ts Types) LateSpecs() map[string][]byte {
	files := ts.Specs()
	s := specFile{name: ts.Late, key: "/order", partitions: WorkPartitions, replicas: 3}
	files["events/conf/"+s.name+".yaml"] = s.text()
	return files
}

// specFile is an AsyncAPI document of one type; all share one schema.
type specFile struct {
	name, key            string
	partitions, replicas int
	channel, config      string // further lines
}

func (s specFile) text() []byte {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	required := "order"
	key := "x-unordered: true"
	if s.key != "" {
		required = strings.TrimPrefix(s.key, "/")
		key = fmt.Sprintf("bindings: {kafka: {key: {type: string, x-from: %s}, bindingVersion: 0.5.0}}", s.key)
	}
	domain, _, _ := strings.Cut(s.name, ".")
	line("asyncapi: 3.1.0")
	line("id: urn:event:%s", s.name)
	line("info:")
	line("  title: %s", strings.TrimSuffix(s.name, ".v1"))
	line("  version: 1.0.0")
	line("  description: A type of the conformance suite.")
	line("  tags: [{name: 'kind:event'}, {name: 'domain:%s'}]", domain)
	line("  x-owner: team-conformance")
	line("channels:")
	line("  it:")
	line("    address: %s", s.name)
	line("    messages: {it: {$ref: '#/components/messages/it'}}")
	if s.channel != "" {
		line("    %s", s.channel)
	}
	line("    bindings:")
	line("      kafka:")
	line("        partitions: %d", s.partitions)
	line("        replicas: %d", s.replicas)
	config := fmt.Sprintf("min.insync.replicas: %d", min(2, s.replicas))
	if s.config != "" {
		config += ", " + s.config
	}
	line("        topicConfiguration: {%s}", config)
	line("        bindingVersion: 0.5.0")
	line("operations:")
	line("  publish: {action: send, channel: {$ref: '#/channels/it'}}")
	line("components:")
	line("  messages:")
	line("    it:")
	line("      name: It")
	line("      %s", key)
	line("      payload: {$ref: '#/components/schemas/It'}")
	line("  schemas:")
	line("    It:")
	line("      type: object")
	line("      required: [%s]", required)
	line("      properties:")
	line("        order: {type: string}")
	line("        id: {type: integer}")
	line("        n: {type: integer}")
	line("        total: {type: number}")
	line("        note: {type: [string, 'null']}")
	line("        lines: {type: array, items: {type: object, properties: {sku: {type: string}, qty: {type: integer}}}}")
	line("        extra: {}")
	return []byte(b.String())
}
