// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/autobus-io/autobus"
)

// tailFlags is one tail command as it was typed.
type tailFlags struct {
	app    *app
	types  []string
	filter string
	from   string
	n      int
}

func (a *app) newTailCommand() *cobra.Command {
	t := &tailFlags{app: a}
	cmd := &cobra.Command{
		Use:   "tail TYPE|PATTERN...",
		Short: "Print events as they come",
		Long: "Read types without a group: every reader gets everything, nothing is settled. A segment * of a pattern\n" +
			"stands for any one segment, at the end for one or more.\n\n" +
			"With --filter an event comes when the expression is true, and also when it cannot be evaluated, such as for a\n" +
			"missing field: 'data.total > 100' lets events without total through, 'has(data.total) && data.total > 100'\n" +
			"does not.\n\n" +
			"In the table \"foreign\" marks a record that another program wrote to Kafka without CloudEvents headers\n" +
			"(\"unspecified\": true under -o json), and (no data) one without a value.\n\n" +
			"Ends by Ctrl-C, which is exit status 0 here, after -n events, or with the bus.\n\n" +
			exitCodes(exitOK, exitFailed, exitUsage, exitUnreachable),
		Example: "  autobus tail orders.order.placed.v1\n" +
			"  autobus tail 'orders.*' --from -1h --filter 'has(data.total) && data.total > 100'\n" +
			"  autobus tail 'demo.*' --from earliest -n 10 -o ndjson",
		Args:              named("type", "autobus tail 'orders.*'", cobra.MinimumNArgs(1)),
		ValidArgsFunction: a.completeTypes,
		RunE: func(cmd *cobra.Command, args []string) error {
			t.types = args
			return t.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVar(&t.filter, "filter", "", "CEL expression over data, id, source, type, subject, time, key, ext")
	f.StringVar(&t.from, "from", "latest", "where to begin: latest, earliest, -1h, or a time")
	f.IntVarP(&t.n, "number", "n", 0, "end after this many events; default: go on")
	return cmd
}

// tailLine is a line of the stream: an event at its place, a heartbeat, or the error that ends it.
type tailLine struct {
	Type        string          `json:"type"`
	Partition   int32           `json:"partition"`
	Offset      int64           `json:"offset"`
	Unspecified bool            `json:"unspecified"`
	Key         *string         `json:"key"`
	KeyBase64   string          `json:"key_base64"`
	Event       json.RawMessage `json:"event"`
	Heartbeat   string          `json:"heartbeat"`
	Error       *problem        `json:"error"`
}

func (t *tailFlags) run(ctx context.Context) error {
	if t.n < 0 {
		return usage("-n is %d", t.n).WithHint("Give a number from 1, or leave it away.")
	}
	c, err := t.app.api()
	if err != nil {
		return err
	}
	defer c.close()
	left := t.n
	err = c.tail(ctx, t.query(), t.app.timeout, func(line []byte, l *tailLine) error {
		if err := t.print(line, l); err != nil {
			return err
		}
		if left--; left == 0 {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) || ctx.Err() != nil {
		return nil
	}
	return err
}

// errEnough ends a tail from within.
var errEnough = errors.New("enough")

func (t *tailFlags) query() url.Values {
	q := url.Values{"type": t.types, "from": {t.from}}
	if t.filter != "" {
		q.Set("filter", t.filter)
	}
	return q
}

// tail reads the stream until f has enough, ctx ends or the bus ends it, which is an error. answer is how long the
// bus may take to begin; how long it is silent afterwards says nothing, since a type may have no traffic.
func (c *api) tail(ctx context.Context, q url.Values, answer time.Duration, f func([]byte, *tailLine) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	begin := time.AfterFunc(answer, cancel)
	resp, err := c.do(ctx, call{method: http.MethodGet, path: "/v1/tail", query: q})
	if !begin.Stop() {
		return autobus.NewError(autobus.ReasonServerUnreachable, "%s did not begin to answer within %s", c.base, answer)
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	in := bufio.NewReaderSize(resp.Body, 64<<10)
	for {
		line, err := readLine(in)
		if err != nil {
			return autobus.NewError(autobus.ReasonServerUnreachable, "%s ended the stream: %s", c.base, err).
				WithHint("The bus went down or the connection broke. Run it again, --from a time to miss nothing.")
		}
		var l tailLine
		switch err := json.Unmarshal(line, &l); {
		case err != nil:
			return autobus.NewError(autobus.ReasonServerUnreachable, "a line of the stream cannot be read: %s", err)
		case l.Error != nil:
			return l.Error.exit()
		case l.Event == nil:
			continue
		}
		if err := f(line, &l); err != nil {
			return err
		}
	}
}

func (t *tailFlags) print(line []byte, l *tailLine) error {
	switch t.app.output {
	case "ndjson":
		// As it came, byte for byte: publish --ndjson takes it back.
		_, err := t.app.out.Write(append(line, '\n'))
		return err
	case "json":
		return t.app.emit(line)
	}
	var e struct {
		Time       time.Time
		Data       json.RawMessage `json:"data"`
		DataBase64 *string         `json:"data_base64"`
	}
	if err := json.Unmarshal(l.Event, &e); err != nil {
		return autobus.NewError(autobus.ReasonServerUnreachable, "an event cannot be read: %s", err)
	}
	columns := []string{t.app.paint(t.app.out, dim, e.Time.Local().Format("15:04:05.000")),
		t.app.paint(t.app.out, green, l.Type), fmt.Sprintf("%d/%d", l.Partition, l.Offset)}
	if l.Unspecified {
		columns = append(columns, t.app.paint(t.app.out, yellow, "foreign"))
	}
	switch {
	case l.Key != nil:
		columns = append(columns, "key="+printable(*l.Key))
	case l.KeyBase64 != "":
		columns = append(columns, "key(base64)="+l.KeyBase64)
	}
	switch {
	case e.Data != nil:
		columns = append(columns, string(e.Data))
	case e.DataBase64 != nil:
		columns = append(columns, "data(base64)="+*e.DataBase64)
	default:
		columns = append(columns, t.app.paint(t.app.out, dim, "(no data)"))
	}
	_, err := fmt.Fprintln(t.app.out, strings.Join(columns, "  "))
	return err
}

// printable quotes what could steer a terminal.
func printable(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}
