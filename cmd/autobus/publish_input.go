// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"io"
	"os"
	"strings"
	"time"

	"github.com/autobus-io/autobus"
)

// check refuses combinations that would silently ignore a flag.
func (p *publishFlags) check() error {
	single := p.key != "" || len(p.headers) > 0 || p.id != "" || p.source != "" || p.subject != "" || p.time != ""
	switch {
	case p.count < 1:
		return usage("--count is %d", p.count).WithHint("Give a number from 1.")
	case p.rate < 0:
		return usage("--rate is %g", p.rate).WithHint("Give events per second, or leave it away.")
	case p.at != "" && p.delayGiven:
		return usage("both --at and --delay").WithHint("Use one of them.")
	case p.delayGiven && p.delay <= 0:
		return usage("--delay is %s", p.delay).WithHint("Give a duration above 0, or leave it away.")
	case p.ndjson && (p.data != "" || p.example || p.count != 1 || p.rate != 0):
		return usage("--ndjson takes the events from stdin").
			WithHint("Leave away --data, --example, --count and --rate.")
	case p.ndjson && single:
		return usage("--ndjson takes ids, keys and attributes from the lines").
			WithHint("Leave away --key, --header, --id, --source, --subject and --time; write structured CloudEvents.")
	case p.ndjson:
		return nil
	case p.typ == "":
		return usage("no type").WithHint("Name the type: autobus publish orders.order.placed.v1 -d '{...}'.")
	case p.example && p.data != "":
		return usage("both --data and --example").WithHint("Use one of them.")
	case p.data == "" && !p.example:
		return usage("nothing to publish").WithHint("Give -d JSON, -d @FILE, -d - or --example.")
	case p.rate != 0 && p.count == 1:
		return usage("--rate without --count").WithHint("Say how many: --count 100 --rate %g.", p.rate)
	case p.id != "" && p.count > 1:
		return usage("--id with --count").WithHint("Events under one id are one event; leave --id away.")
	}
	for _, h := range p.headers {
		if name, _, ok := strings.Cut(h, "="); !ok || !attributeName(name) {
			return usage("--header %q is not name=value", h).
				WithHint("A name has 1 to %d of a-z and 0-9: -H correlationid=checkout-7.", autobus.MaxExtensionName)
		}
	}
	if _, err := time.Parse(time.RFC3339Nano, p.time); p.time != "" && err != nil {
		return usage("--time %q is not a time", p.time).WithHint("Write it as 2026-11-20T10:00:00Z.")
	}
	if _, ok := autobus.ParseTime(p.at); p.at != "" && !ok {
		return usage("--at %q is not a time", p.at).WithHint("Write it as 2026-11-20T10:00:00Z.")
	}
	return nil
}

func attributeName(s string) bool {
	if s == "" || len(s) > autobus.MaxExtensionName {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789") == ""
}

func (p *publishFlags) readData(ctx context.Context, c *api) ([]byte, error) {
	switch {
	case p.example:
		return c.example(ctx, p.typ, p.app.timeout)
	case p.data == "-":
		return readAll(p.app.in, "stdin")
	case strings.HasPrefix(p.data, "@"):
		f, err := os.Open(p.data[1:])
		if err != nil {
			return nil, usage("the data cannot be read: %s", err).WithHint("Check the file after @.")
		}
		defer f.Close()
		return readAll(f, p.data[1:])
	default:
		return []byte(p.data), nil
	}
}

// readAll reads a little more than an event may have, so that the bus is the one to refuse it.
func readAll(r io.Reader, name string) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, 2*autobus.MaxEventBytes))
	if err != nil {
		return nil, usage("the data cannot be read: %s: %s", name, err).WithHint("Check the file.")
	}
	return data, nil
}

// attributes lists what the flags say of the event, under the names of CloudEvents.
func (p *publishFlags) attributes() map[string]string {
	out := map[string]string{}
	for _, h := range p.headers {
		name, value, _ := strings.Cut(h, "=")
		out[name] = value
	}
	for name, value := range map[string]string{"id": p.id, "source": p.source, "subject": p.subject, "time": p.time,
		autobus.ExtPartitionKey: p.key} {
		if value != "" {
			out[name] = value
		}
	}
	return out
}

// percentEncode writes an attribute as the CloudEvents HTTP binding wants it: what is not printable ASCII, and the
// characters space, quote and percent, are escaped.
func percentEncode(s string) string {
	var b strings.Builder
	const hex = "0123456789ABCDEF"
	for i := range len(s) {
		c := s[i]
		if c > 0x20 && c < 0x7f && c != '"' && c != '%' {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(hex[c>>4])
		b.WriteByte(hex[c&15])
	}
	return b.String()
}
