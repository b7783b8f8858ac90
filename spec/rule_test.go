// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"
)

// mutation is one fault put into the example repository, which has none. Exactly its rule finds it, at the line that
// holds at, with the severity and at the pointer given.
type mutation struct {
	rule     string
	severity Severity
	file     string
	edits    []string // old, new, old, new
	at       string   // "" = the first text put in
	pointer  string
	against  bool   // the example is the version before
	rename   string // the file's new name
}

const (
	requested = "events/refunds/refund.requested.v1.yaml"
	created   = "events/refunds/refund.created.v1.yaml"
	refunded  = "events/payments/money.refunded.v1.yaml"
	command   = "events/payments/money.refund.v1.yaml"
	receipt   = "events/fiscal/receipt.issued.v1.yaml"
	balance   = "events/stock/balance.changed.v1.yaml"
	mail      = "events/notifications/mail.sent.v1.yaml"
	product   = "events/products/product.updated.v1.yaml"
	payment   = "services/payment.yaml"
)

func mutations() []mutation {
	const (
		e, w, h    = SeverityError, SeverityWarning, SeverityHint
		inRefunded = "/components/schemas/MoneyRefunded"
		inCreated  = "/components/schemas/RefundCreated"
		inMail     = "/components/schemas/MailSent"
		inBalance  = "/components/schemas/BalanceChanged"
	)
	sku := "        sku: {type: string, minLength: 1, maxLength: 32}\n"
	return []mutation{
		{rule: "S01", severity: e, file: created, edits: []string{"schemas/Money'", "schemas/Coins'"},
			pointer: inCreated + "/properties/money/$ref"},
		{rule: "S01", severity: e, file: created, edits: []string{"schemas/RefundCreated'}", "schemas/RefundCreated'}\n" +
			"      x-lint-ignore: {S99: why not}"}, at: "S99", pointer: "/components/messages/created/x-lint-ignore/S99"},
		{rule: "S02", severity: e, file: created, edits: []string{"urn:event:refunds.refund.created.v1", "urn:x:y"},
			pointer: "/id"},
		{rule: "S02", severity: e, file: created, edits: []string{"title: refunds.refund.created", "title: Created"},
			pointer: "/info/title"},
		{rule: "S02", severity: e, file: created, edits: []string{"version: 1.0.0", "version: 2.0.0"},
			pointer: "/info/version"},
		{rule: "S02", severity: w, file: mail, edits: []string{"notifications.mail.sent.v1", "notifications.mail.v1",
			"notifications.mail.sent.v1", "notifications.mail.v1", "title: notifications.mail.sent",
			"title: notifications.mail"}, at: "address:", pointer: "/channels/sent/address",
			rename: "events/notifications/mail.v1.yaml"},
		{rule: "S03", severity: e, file: command, edits: []string{"      x-error: true\n", "",
			"      rejected: {$ref: '#/components/messages/rejected'}",
			"      rejected: {$ref: '#/components/messages/rejected'}\n      failed: {x-error: true, payload: " +
				"{$ref: '../../common/jsonrpc.yaml#/components/schemas/Error'}}"},
			at: "    messages:\n      accepted", pointer: "/channels/reply/messages"},
		{rule: "S03", severity: e, file: created, edits: []string{"created: {$ref: '#/components/messages/created'}",
			"created: {$ref: '#/components/messages/created'}, more: {$ref: '#/components/messages/created'}"},
			at: "  created:\n    address", pointer: "/channels/created"},
		{rule: "S04", severity: e, file: created, edits: []string{"'kind:event'", "'area:refunds'"},
			at: "tags:", pointer: "/info/tags"},
		{rule: "S04", severity: e, file: mail, rename: "events/notifications/mail.send.v1.yaml",
			edits: []string{"notifications.mail.sent.v1", "notifications.mail.send.v1", "notifications.mail.sent.v1",
				"notifications.mail.send.v1", "title: notifications.mail.sent", "title: notifications.mail.send"},
			at: "address:", pointer: "/channels/sent/address"},
		{rule: "S05", severity: e, file: mail, rename: "events/notifications/mail.ready-to-send.v1.yaml",
			edits: []string{"notifications.mail.sent.v1", "notifications.mail.ready-to-send.v1", "notifications.mail.sent.v1",
				"notifications.mail.ready-to-send.v1", "title: notifications.mail.sent",
				"title: notifications.mail.ready-to-send"}, at: "address:", pointer: "/channels/sent/address"},
		{rule: "S06", severity: e, file: command, edits: []string{"    x-sla: {reply-within: 5m}\n", ""},
			at: "  refund:\n    action", pointer: "/operations/refund/x-sla/reply-within"},
		{rule: "S06", severity: e, file: command, edits: []string{"jsonrpc.yaml#/components/schemas/Error",
			"cloudevent.yaml#/components/schemas/Money"}, at: "    messages:\n      accepted",
			pointer: "/channels/reply/messages"},
		{rule: "S06", severity: e, file: "services/support.yaml", edits: []string{
			"../events/notifications/mail.sent.v1.yaml#/channels/sent",
			"../events/payments/money.refund.v1.yaml#/channels/request"}, at: command,
			pointer: "/channels/request/address"},
		{rule: "S07", severity: w, file: balance, edits: []string{"[sku, ", "[kind, sku, ", sku,
			"        kind: {type: string, enum: [sold, bought], x-extensible: true}\n" + sku, "{sku:", "{kind: sold, sku:"},
			at: "        kind:", pointer: inBalance + "/properties/kind"},
		{rule: "S08", severity: w, file: mail, edits: []string{"[mailId, orderId, template, recipient, sentAt]",
			"[mailId, orderId]"}, at: "    MailSent:", pointer: inMail},
		{rule: "S09", severity: e, file: created, edits: []string{
			"      traits: [{$ref: '../../common/cloudevent.yaml#/components/messageTraits/event'}]\n", ""},
			at: "    created:\n      name", pointer: "/components/messages/created"},
		{rule: "S09", severity: e, file: mail, edits: []string{"[mailId,", "[eventId,", "      mailId:", "      eventId:",
			"mailId:", "eventId:"}, at: "      eventId:", pointer: inMail + "/properties/eventId"},
		{rule: "S10", severity: e, file: mail, edits: []string{"[mailId, orderId, ", "[mailId, "}, at: "x-from",
			pointer: "/components/messages/sent/bindings/kafka/key/x-from"},
		{rule: "S10", severity: e, file: mail, edits: []string{", x-from: /orderId", ""}, at: "    sent:\n      name",
			pointer: "/components/messages/sent"},
		{rule: "S10", severity: e, file: mail, edits: []string{"x-from: /orderId", "x-from: /nothing"}, at: "x-from",
			pointer: "/components/messages/sent/bindings/kafka/key/x-from"},
		{rule: "S11", severity: e, file: balance, edits: []string{"format: int32, minimum: 0", "minimum: 0"},
			pointer: inBalance + "/properties/available"},
		{rule: "S11", severity: e, file: requested, edits: []string{"itemId: {type: integer, format: int64",
			"itemId: {type: integer, format: int32"}, pointer: "/components/schemas/ReturnedItem/properties/itemId"},
		{rule: "S12", severity: e, file: balance, edits: []string{"integer, format: int32, minimum: 0", "number, minimum: 0"},
			pointer: inBalance + "/properties/available"},
		{rule: "S12", severity: e, file: balance, edits: []string{sku, sku +
			"        price: {type: string, format: decimal}\n"}, at: "      price", pointer: inBalance + "/properties/price"},
		{rule: "S13", severity: e, file: balance, edits: []string{"changedAt: {type: string, format: date-time}",
			"changedAt: {type: integer, format: int64}", "changedAt: '2026-01-31T12:00:00Z'", "changedAt: 1769860800"},
			at: "      changedAt:", pointer: inBalance + "/properties/changedAt"},
		{rule: "S14", severity: w, file: refunded, edits: []string{"bonus], x-extensible: true", "bonus]"},
			pointer: inRefunded + "/properties/method/enum"},
		{rule: "S15", severity: e, file: requested, edits: []string{
			"            - title: ByCustomer\n              type: object",
			"            - type: object"}, pointer: "/components/schemas/RefundRequested/properties/requestedBy/oneOf/0"},
		{rule: "S15", severity: e, file: requested, edits: []string{"[role, login]", "[login]"}, at: "oneOf:",
			pointer: "/components/schemas/RefundRequested/properties/requestedBy/oneOf"},
		{rule: "S16", severity: e, file: balance, edits: []string{"      type: object\n",
			"      type: object\n      additionalProperties: false\n"}, at: "additionalProperties",
			pointer: inBalance + "/additionalProperties"},
		{rule: "S16", severity: e, file: balance, edits: []string{"      type: object\n",
			"      type: object\n      not: {required: [never]}\n"}, at: "not:", pointer: inBalance + "/not"},
		{rule: "S17", severity: e, file: balance, edits: []string{sku, sku +
			"        store_code: {type: string, maxLength: 9}\n"},
			at: "store_code", pointer: inBalance + "/properties/store_code"},
		{rule: "S17", severity: e, file: balance, edits: []string{sku, sku + "        place: {maxLength: 9}\n"},
			at: "place:", pointer: inBalance + "/properties/place"},
		{rule: "S17", severity: e, file: balance, edits: []string{sku, sku + "        class: {type: string, maxLength: 9}\n"},
			at: "class:", pointer: inBalance + "/properties/class"},
		{rule: "S17", severity: e, file: requested, edits: []string{"      title: ReturnedItem\n", "",
			"{$ref: '#/components/schemas/ReturnedItem'}", "{type: object, properties: {n: {type: string, maxLength: 1}}}",
			"{itemId: 7, reason: wrong_size}", "{n: x}"}, at: "items: {type: array",
			pointer: "/components/schemas/RefundRequested/properties/items/items"},
		{rule: "S18", severity: w, file: balance, edits: []string{sku, sku +
			"        shelf: {type: [string, 'null'], maxLength: 9}\n"}, at: "shelf", pointer: inBalance + "/properties/shelf"},
		{rule: "S19", severity: e, file: receipt, edits: []string{"receiptId: {type: string, maxLength: 64}",
			"receiptId: {type: string}"}, pointer: "/components/schemas/ReceiptIssued/properties/receiptId"},
		{rule: "S19", severity: w, file: product, edits: []string{"maxItems: 50, ", ""}, at: "categories: {",
			pointer: "/components/schemas/ProductUpdated/properties/categories"},
		{rule: "S19", severity: e, file: product, edits: []string{"max.message.bytes: 262144", "max.message.bytes: 70000",
			"maxLength: 300", "maxLength: 30000"}, at: "    ProductUpdated:", pointer: "/components/schemas/ProductUpdated"},
		{rule: "S20", severity: e, file: created, edits: []string{"x-owner: team-refunds", "x-owner: team-nobody"},
			pointer: "/info/x-owner"},
		{rule: "S20", severity: e, file: created, edits: []string{"1999.00", "a lot"}, at: "payload: {refundId",
			pointer: "/components/messages/created/examples/0/payload/money/amount"},
		{rule: "S20", severity: e, file: created, edits: []string{
			"Refund Tool took a request and made a refund of it.", "A refund."}, pointer: "/info/description"},
		{rule: "S21", severity: e, file: balance, edits: []string{"version: 1.0.0", "version: 1.1.0", sku, sku +
			"        shelf: {type: string, maxLength: 9}\n", "[sku,", "[shelf, sku,", "{sku:", "{shelf: x, sku:"},
			at: "shelf: {", pointer: inBalance + "/properties/shelf", against: true},
		{rule: "S21", severity: e, file: balance, edits: []string{sku, sku + "        shelf: {type: string, maxLength: 9}\n"},
			at: "version:", pointer: "/info/version", against: true},
		{rule: "S22", severity: e, file: mail, edits: []string{"x-lifecycle: active", "x-lifecycle: retired"},
			pointer: "/info/x-lifecycle"},
		{rule: "S22", severity: e, file: mail, edits: []string{"x-lifecycle: active", "x-lifecycle: deprecated"},
			at: "info:", pointer: "/info/x-sunset"},
		{rule: "S23", severity: w, file: product, edits: []string{"retention.ms: 604800000", "retention.ms: 3600000"},
			pointer: "/channels/updated/bindings/kafka/topicConfiguration/retention.ms"},
		{rule: "S23", severity: w, file: product, edits: []string{"[delete]", "[compact]"},
			pointer: "/channels/updated/bindings/kafka/topicConfiguration/cleanup.policy"},
		{rule: "S24", severity: e, file: payment, edits: []string{"x-parallel: 4", "x-parallel: 40"}, at: command,
			pointer: "/channels/request/bindings/kafka/partitions"},
		{rule: "S24", severity: e, file: product, edits: []string{"partitions: 12", "partitions: 24"},
			pointer: "/channels/updated/bindings/kafka/partitions", against: true},
		{rule: "S25", severity: w, file: mail, edits: []string{", x-pii: email", "", "recipient,", "email,",
			"      recipient:", "      email:", " recipient:", " email:"}, at: "      email:",
			pointer: inMail + "/properties/email"},
		{rule: "S25", severity: e, file: balance, edits: []string{sku, sku + "        token: {type: string, maxLength: 9}\n"},
			at: "token:", pointer: inBalance + "/properties/token"},
		{rule: "S26", severity: w, file: balance, edits: []string{"[sku, warehouseId, available, changedAt]",
			"[available, changedAt, count, reason]", sku, "        count: {type: integer, format: int32}\n",
			"      warehouseId:", "      reason:", "{sku: MP002XW0, warehouseId: msk-1,", "{count: 1, reason: theft,",
			"bindings: {kafka: {key: {type: string, x-from: /sku}, bindingVersion: 0.5.0}}", "x-unordered: true"},
			at: "    BalanceChanged:", pointer: inBalance},
		{rule: "S27", severity: w, file: receipt, rename: "events/payments/receipt.issued.v1.yaml",
			edits: []string{"urn:event:fiscal.", "urn:event:payments.", "title: fiscal.", "title: payments.",
				"address: fiscal.", "address: payments.", "[receiptId,", "[paymentId, money, method,", "issuedAt",
				"refundedAt", "issuedAt", "refundedAt",
				"issuedAt", "refundedAt", "        receiptId:",
				"        method: {type: string, maxLength: 9}\n        money: {$ref: '../../common/cloudevent.yaml#/components/" +
					"schemas/Money'}\n        paymentId:", "receiptId:",
				"method: card, money: {amount: '1', currency: RUB}, paymentId:"},
			at: "address:", pointer: "/channels/issued/address"},
		{rule: "S28", severity: e, file: payment, edits: []string{"    x-sla: {max-lag: 100, max-age: 30s}\n", ""},
			at: "  onRefundMoney:", pointer: "/operations/onRefundMoney"},
		{rule: "S28", severity: e, file: payment, edits: []string{
			"    bindings: {kafka: {groupId: {type: string, const: payment}, bindingVersion: 0.5.0}}\n", ""},
			at: "  onRefundMoney:", pointer: "/operations/onRefundMoney"},
		{rule: "S28", severity: e, file: payment, edits: []string{"const: payment}", "const: refund-tool}"},
			at:      "services/refund-tool.yaml",
			pointer: "/operations/onMoneyRefunded/bindings/kafka/groupId/const"},
		{rule: "S29", severity: w, file: mail, edits: []string{"x-producers: [notifications]", "x-producers: [support]"},
			at: "services/support.yaml", pointer: "/operations/onMailSent"},
		{rule: "S30", severity: h, file: product, edits: []string{"      color: {", "      color: {deprecated: true, "},
			pointer: "/components/schemas/ProductUpdated/properties/color"},
	}
}

// apply makes the fault. Services refer to a file by its name.
func (m mutation) apply(t *testing.T, files Files) Files {
	t.Helper()
	files = maps.Clone(files)
	text := string(files[m.file])
	for i := 0; i < len(m.edits); i += 2 {
		if !strings.Contains(text, m.edits[i]) {
			t.Fatalf("%s does not contain %q", m.file, m.edits[i])
		}
		text = strings.Replace(text, m.edits[i], m.edits[i+1], 1)
	}
	files[m.file] = []byte(text)
	if m.rename != "" {
		files[m.rename] = files[m.file]
		delete(files, m.file)
		for name := range files {
			from, to := strings.TrimPrefix(m.file, "events/"), strings.TrimPrefix(m.rename, "events/")
			files[name] = bytes.ReplaceAll(files[name], []byte(from), []byte(to))
		}
	}
	return files
}

// place is the file and the line that the finding must have.
func (m mutation) place(t *testing.T, files Files) (file string, line int) {
	t.Helper()
	file, at := m.file, m.at
	if m.rename != "" {
		file = m.rename
	}
	switch {
	case at == "":
		at = strings.Trim(m.edits[1], "\n")
	case files[at] != nil: // a fault that shows in another file: there the pointer tells the line
		return at, 0
	}
	before, _, found := strings.Cut(string(files[file]), at)
	if !found {
		t.Fatalf("%s does not contain %q", file, at)
	}
	return file, strings.Count(before, "\n") + 1
}

// Each fault is found by its own rule alone, where it is.
func TestEachRuleFindsItsFault(t *testing.T) {
	good, err := ReadDir(exampleRepository)
	if err != nil {
		t.Fatal(err)
	}
	tested := map[string]bool{}
	for _, m := range mutations() {
		tested[m.rule] = true
		t.Run(m.rule+m.pointer, func(t *testing.T) {
			files, options := m.apply(t, good), LintOptions{}
			if m.against {
				options.History = []*Snapshot{parseDir(t, exampleRepository)}
			}
			file, line := m.place(t, files)
			found := Lint(files, options)
			here := slices.IndexFunc(found, func(f LintFinding) bool {
				at := f.File == file && (f.Line == line || line == 0) && f.Line > 0
				return at && f.Pointer == m.pointer && f.Severity == m.severity
			})
			if here < 0 {
				t.Errorf("nothing at %s:%d %s", file, line, m.pointer)
			}
			for _, f := range found {
				if f.Rule != m.rule || f.Hint == "" || here < 0 {
					t.Errorf("%s %s %s (%s)", f.Severity, f.Rule, f.Problem, f.Pointer)
				}
			}
		})
	}
	for _, r := range Rules() {
		if !tested[r.ID] {
			t.Errorf("no fault tests %s", r.ID)
		}
	}
}
