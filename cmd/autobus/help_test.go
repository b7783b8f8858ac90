// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// Every command says how it is used and what its exit status means.
func TestHelp(t *testing.T) {
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Name() == "help" {
			return // cobra's own
		}
		path := c.CommandPath()
		if c.Example == "" {
			t.Errorf("%s has no example", path)
		}
		if !strings.Contains(c.Long, "Exit status:\n  0 ") {
			t.Errorf("%s does not list its exit statuses", path)
		}
		for line := range strings.Lines(c.Long + "\n" + c.Example) {
			if len(line) > 121 {
				t.Errorf("%s: a line of the help is too long: %s", path, line)
			}
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk((&app{}).newRootCommand())
}

const commandReference = "../../docs/reference/cli.md"

// TestCommandReference holds docs/reference/cli.md to the commands; -update writes it.
func TestCommandReference(t *testing.T) {
	t.Setenv("AUTOBUS_SERVER", "")
	t.Setenv("AUTOBUS_CONFIG", "")
	var b strings.Builder
	b.WriteString("<!-- Generated from cmd/autobus by go test ./cmd/autobus -update. Do not edit. -->\n\n# Commands\n\n" +
		"Data goes to stdout, everything else to stderr. Under `-o json` and `-o ndjson` an error is a problem document\n" +
		"on one line of stderr; notes are text, and `-q` leaves them away.\n")
	root := (&app{}).newRootCommand()
	fmt.Fprintf(&b, "\nFlags of every command:\n\n```\n%s```\n", root.PersistentFlags().FlagUsages())
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Runnable() && !c.HasSubCommands() {
			fmt.Fprintf(&b, "\n## %s\n\n```\n%s\n\n%s\n\nExamples:\n%s\n", c.CommandPath(), c.UseLine(), c.Long, c.Example)
			if flags := c.NonInheritedFlags().FlagUsages(); flags != "" {
				fmt.Fprintf(&b, "\nFlags:\n%s", flags)
			}
			b.WriteString("```\n")
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(root)
	golden(t, commandReference, b.String())
}

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"nope"}, `unknown command "nope"`},
		{[]string{"cluster", "nope"}, "its commands: check, init"},
		{[]string{"publish", "a.b.v1", "-x"}, "unknown shorthand flag"},
		{[]string{"publish", "a.b.v1", "c.d.v1"}, "at most 1 arg"},
		{[]string{"publish"}, "no type"},
		{[]string{"publish", "a.b.v1"}, "nothing to publish"},
		{[]string{"publish", "a.b.v1", "-d", "{}", "--example"}, "both --data and --example"},
		{[]string{"publish", "a.b.v1", "-d", "@/nowhere"}, "cannot be read"},
		{[]string{"publish", "a.b.v1", "-d", "{}", "-H", "Wrong-Name=1"}, "is not name=value"},
		{[]string{"publish", "a.b.v1", "-d", "{}", "--time", "today"}, "is not a time"},
		{[]string{"publish", "a.b.v1", "-d", "{}", "--count", "0"}, "--count is 0"},
		{[]string{"publish", "a.b.v1", "-d", "{}", "--rate", "5"}, "--rate without --count"},
		{[]string{"publish", "a.b.v1", "-d", "{}", "--id", "1", "--count", "2"}, "--id with --count"},
		{[]string{"publish", "--ndjson", "-d", "{}"}, "--ndjson takes the events from stdin"},
		{[]string{"publish", "--ndjson", "-k", "1"}, "--ndjson takes ids"},
		{[]string{"tail"}, "no type"},
		{[]string{"tail", "a.b.v1", "-n", "-1"}, "-n is -1"},
		{[]string{"tail", "a.b.v1", "-o", "xml"}, "use table, json or ndjson"},
		{[]string{"consume", "a.b.v1"}, "no group"},
		{[]string{"consume", "-g", "g", "-n", "0"}, "-n is 0"},
		{[]string{"consume", "-g", "g", "--window", "0"}, "--window is 0"},
		{[]string{"consume", "-g", "g", "--window", "10001"}, "from 1 to 10000"},
		{[]string{"consume", "-g", "g", "--ack", "never"}, `--ack is "never"`},
		{[]string{"consume", "-g", "g", "--ack", "manual", "--exec", "true"}, "--exec with --ack manual"},
		{[]string{"consume", "-g", "g", "--filter", "true"}, "of a new group"},
		{[]string{"consume", "-g", "g", "--from", "latest"}, "of a new group"},
		{[]string{"consume", "-g", "../x"}, "cannot name a subscription"},
		{[]string{"subscription", "create", "g"}, "no type"},
		{[]string{"subscription", "create"}, "no subscription"},
		{[]string{"subs", "create", "g", "--type", "a..b"}, "neither a type nor a pattern"},
		{[]string{"subs", "create", "g", "--type", "a", "--window", "0"}, "--window is 0"},
		{[]string{"subs", "create", "g", "--type", "a", "--max-attempts", "0"}, "--max-attempts is 0"},
		{[]string{"subs", "create", "g", "--type", "a", "--max-attempts", "15"}, "not 1 to 14"},
		{[]string{"subs", "create", "g", "--type", "a", "--ack-wait", "0s"}, "--ack-wait is 0s"},
		{[]string{"subs", "create", "g", "--type", "a", "--ack-wait", "10ms"}, "is not between 1s and 15m0s"},
		{[]string{"subs", "create", "g", "--type", "a", "--order", "up"}, "use key, partition or none"},
		{[]string{"subs", "create", "g", "--type", "a", "--on-exhausted", "cry"}, "use dlq, hold, drop or stop"},
		{[]string{"subs", "create", "g", "--type", "a", "--from", "never"}, "no place to begin"},
		{[]string{"subs", "lag"}, "no subscription"},
		{[]string{"subs", "delete", "G"}, "cannot name a subscription"},
		{[]string{"subs", "nope"}, "its commands: create, delete, describe, lag, list"},
		{[]string{"outbox", "ddl", "--table", "a b"}, "use name or schema.name"},
		{[]string{"outbox", "run"}, "no database is named"},
		{[]string{"outbox", "run", "--dsn", "host=x", "--keep", "-1s"}, "is negative"},
		{[]string{"outbox", "run", "--dsn", "host=x", "--server", "ftp://x"}, "give an address such as"},
		{[]string{"outbox", "drop"}, "no rows are named"},
		{[]string{"outbox", "refused", "x"}, "is no number of a row"},
		{[]string{"bridge", "nope"}, "its commands: call, respond"},
		{[]string{"bridge", "call"}, "no type to ask for"},
		{[]string{"bridge", "call", "x"}, "is no type"},
		{[]string{"bridge", "call", "--route", "pricing:80=a.b.v1"}, "the host without a port"},
		{[]string{"bridge", "call", "--route", "p=a.b.v1", "--route", "P=a.c.v1"}, "names p twice"},
		{[]string{"bridge", "call", "a.b.v1", "--allow", "10.0.0.1"}, "write a network as"},
		{[]string{"bridge", "call", "a.b.v1", "--wait", "0s"}, "--wait is 0s"},
		{[]string{"bridge", "respond"}, "no type"},
		{[]string{"bridge", "respond", "a.b.v1"}, "--to is"},
		{[]string{"bridge", "respond", "a.b.v1", "--to", "localhost:8000"}, "scheme, host and port alone"},
		{[]string{"bridge", "respond", "a.b.v1", "--to", "http://h/base"}, "scheme, host and port alone"},
		{[]string{"bridge", "respond", "a.b.v1", "--to", "http://h", "--path", "x"}, "begin it with a slash"},
		{[]string{"bridge", "respond", "a.b.v1", "--to", "http://h", "--workers", "0"}, "--workers is 0"},
		{[]string{"types", "show"}, "no type"},
		{[]string{"types", "show", "a.b.v1", "c.d.v1"}, "accepts 1 arg"},
		{[]string{"token", "revoke"}, "no token id"},
		{[]string{"completion"}, "no shell"},
		{[]string{"completion", "tcsh"}, "there is no completion for"},
		{[]string{"publish", "a.b.v1", "-d", "{}", "-o", "xml"}, `request_invalid: --output is "xml"`},
		{[]string{"types", "list", "--server", "ftp://x"}, "give an address such as"},
		{[]string{"types", "list", "--token-file", "/nowhere"}, "token file cannot be read"},
		{[]string{"types", "list", "--timeout", "0s"}, "--timeout is 0s"},
		{[]string{"dev", "--port", "70000"}, "--port is 70000"},
		{[]string{"dev", "--specs", "/nowhere"}, "is not a folder"},
		{[]string{"serve"}, "give --config"},
		{[]string{"serve", "--config", "/nowhere"}, "cannot be read"},
		{[]string{"token", "list"}, "auth is off"},
		{[]string{"token", "create"}, "needs a principal and grants"},
		{[]string{"token", "create", "--principal", "a", "--grant", "eat:cake"}, "the verbs are publish"},
		{[]string{"cluster", "check"}, "no configuration"},
		{[]string{"doctor", "x"}, "unknown command"},
		{[]string{"doctor", "--config", "/nowhere"}, "cannot be read"},
		{[]string{"doctor", "--server", "ftp://x"}, "give an address such as"},
		{[]string{"bench", "nope"}, "its commands: consume, direct, e2e, publish, specs"},
		{[]string{"bench", "specs"}, "no folder"},
		{[]string{"bench", "specs", "x", "--partitions", "0"}, "--partitions has 0"},
		{[]string{"bench", "direct", "--value", "xml"}, "use json or opaque"},
		{[]string{"bench", "direct", "--size", "1"}, "bytes from 64"},
		{[]string{"bench", "direct", "--batch", "1001"}, "numbers from 1 to 1000"},
		{[]string{"bench", "direct", "--rounds", "0"}, "--rounds is 0"},
		{[]string{"bench", "direct", "--clients", "0"}, "is not from 1 to"},
		{[]string{"bench", "publish", "--size", "10KiB", "--batch", "1000"}, "more than a batch may have"},
		{[]string{"bench", "publish", "--transport", "json"}, "--transport json with --batch 100"},
		{[]string{"bench", "publish", "--transport", "ndjson", "--value", "opaque"}, "a line holds json"},
		{[]string{"bench", "publish", "--transport", "grpc"}, "use frames or ndjson or json"},
		{[]string{"bench", "publish", "--gateway-pid", "1"}, "--gateway-pid without --url"},
		{[]string{"bench", "publish", "--round", "0s"}, "--round is 0s"},
		{[]string{"bench", "e2e", "--rate", "0"}, "--rate is 0"},
		{[]string{"bench", "consume", "--events", "0"}, "--events is 0"},
		{[]string{"bench", "consume", "--window", "10001"}, "from 1 to 10000"},
	} {
		code, out, stderr := invoke(t, "", c.args...)
		if code != exitUsage {
			t.Errorf("%v: exit status %d, want %d", c.args, code, exitUsage)
		}
		if out != "" {
			t.Errorf("%v: stdout %q", c.args, out)
		}
		next := strings.Contains(stderr, "next: ") || strings.Contains(stderr, `"hint":`)
		if !next || !strings.Contains(strings.ToLower(stderr), strings.ToLower(c.want)) {
			t.Errorf("%v: stderr lacks %q or what to do next:\n%s", c.args, c.want, stderr)
		}
	}
}

func TestUnreachable(t *testing.T) {
	for _, args := range [][]string{
		{"publish", "a.b.v1", "-d", "{}"}, {"publish", "a.b.v1", "-d", "{}", "--count", "3"}, {"tail", "a.b.v1"},
		{"types", "list"}, {"consume", "a.b.v1", "-g", "g"}, {"consume", "-g", "g", "--exec", "true"}, {"subs", "list"},
		{"subs", "create", "g", "--type", "a"}, {"subs", "delete", "g", "--yes"},
		{"bridge", "call", "a.b.v1"}, {"bridge", "respond", "a.b.v1", "--to", "http://127.0.0.1:1"},
	} {
		// Port 1 is nobody's.
		code, out, stderr := invoke(t, "", append(args, "--server", "http://127.0.0.1:1")...)
		if code != exitUnreachable || out != "" || !strings.Contains(stderr, "server_unreachable") {
			t.Errorf("%v: exit status %d, stdout %q, stderr %q", args, code, out, stderr)
		}
	}
}
