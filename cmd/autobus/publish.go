// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/autobus-io/autobus"
)

// publishFlags is one publish command as it was typed.
type publishFlags struct {
	app *app

	typ     string
	data    string
	example bool
	ndjson  bool
	key     string
	headers []string
	id      string
	source  string
	subject string
	time    string
	mode    string
	count   int
	rate    float64

	at    string
	delay time.Duration

	timeoutGiven bool
	delayGiven   bool
}

func (a *app) newPublishCommand() *cobra.Command {
	p := &publishFlags{app: a}
	cmd := &cobra.Command{
		Use:   "publish [TYPE]",
		Short: "Publish events",
		Long: "Publish one event, the same event --count times, or a stream of lines.\n\n" +
			"With --ndjson each line of stdin is one event. With TYPE a line is the event's data; without, a line is\n" +
			"a structured CloudEvent or a line that tail or consume wrote under -o ndjson. Lines go out and receipts come\n" +
			"back at the same time, in order.\n\n" +
			"Under -o json the outcomes are {\"results\": [...]}, under -o ndjson each is a line; if any is not written, one\n" +
			"problem on stderr has the sum and the first failure.\n\n" +
			"An outcome is written, refused (nothing was written) or unknown (it may still appear: send it again\n" +
			"under the same --id).\n\n" +
			"With --at or --delay they are published later; a receipt has the name of its schedule, see autobus\n" +
			"schedules.\n\n" +
			exitCodes(exitOK, exitFailed, exitUsage, exitUnreachable, exitInterrupted),
		Example: "  autobus publish orders.order.placed.v1 -d '{\"order_id\":\"42\",\"total\":99.5}'\n" +
			"  autobus publish orders.order.placed.v1 --example\n" +
			"  autobus publish orders.order.placed.v1 -d @order.json -k 42 -H correlationid=checkout-7\n" +
			"  autobus publish orders.order.placed.v1 --example --delay 10m\n" +
			"  autobus publish demo.order.placed.v1 --example --count 100 --rate 10\n" +
			"  autobus tail 'orders.*' -o ndjson | autobus publish --ndjson --server http://other:7070",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeTypes,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				p.typ = args[0]
			}
			p.timeoutGiven, p.delayGiven = cmd.Flags().Changed("timeout"), cmd.Flags().Changed("delay")
			return p.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVarP(&p.data, "data", "d", "", "the data: JSON, @FILE, or - for stdin")
	f.BoolVar(&p.example, "example", false, "use the spec's example as data")
	f.BoolVar(&p.ndjson, "ndjson", false, "publish each line of stdin")
	f.StringVarP(&p.key, "key", "k", "", "partition key, where the spec names no field for it")
	f.StringArrayVarP(&p.headers, "header", "H", nil, "CloudEvents attribute name=value; may be repeated")
	f.StringVar(&p.id, "id", "", "event id; default: made by the bus")
	f.StringVar(&p.source, "source", "", "event source; default: / and the principal's name")
	f.StringVar(&p.subject, "subject", "", "event subject")
	f.StringVar(&p.time, "time", "", "when it happened, RFC 3339; default: now")
	f.StringVar(&p.mode, "mode", "", "independent (default) or ordered: any failure stops its key")
	f.IntVar(&p.count, "count", 1, "how many times to publish the event")
	f.StringVar(&p.at, "at", "", "when it is to be published, RFC 3339; default: at once")
	f.DurationVar(&p.delay, "delay", 0, "for how long it is to be delayed, such as 10m")
	f.Float64Var(&p.rate, "rate", 0, "events per second with --count; default: as fast as they are taken")
	return cmd
}

func (p *publishFlags) run(ctx context.Context) error {
	if err := p.check(); err != nil {
		return err
	}
	c, err := p.app.api()
	if err != nil {
		return err
	}
	defer c.close()
	switch {
	case p.ndjson:
		in := &inputLines{}
		return p.stream(ctx, c, p.streamPath(), in, func(ctx context.Context, send func([]byte) error) error {
			return p.lines(ctx, c, in, send)
		})
	case p.count > 1:
		data, err := p.readData(ctx, c)
		if err != nil {
			return err
		}
		return p.stream(ctx, c, "/v1/events", nil, func(ctx context.Context, send func([]byte) error) error {
			return p.repeat(ctx, data, send)
		})
	default:
		data, err := p.readData(ctx, c)
		if err != nil {
			return err
		}
		return p.one(ctx, c, data)
	}
}

func (p *publishFlags) query() url.Values {
	q := url.Values{}
	if p.mode != "" {
		q.Set("mode", p.mode)
	}
	if p.timeoutGiven {
		q.Set("timeout", p.app.timeout.String())
	}
	if p.at != "" {
		q.Set("deliver_at", p.at)
	}
	if p.delay != 0 {
		q.Set("delay", p.delay.String())
	}
	return q
}

// answerGrace is how much longer than the bus's own deadline the command waits: the answer "unknown" has to arrive.
const answerGrace = 5 * time.Second

// one publishes a single event and prints its receipt.
func (p *publishFlags) one(ctx context.Context, c *api, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, p.app.timeout+answerGrace)
	defer cancel()
	header := http.Header{"Content-Type": {"application/json"}}
	for name, value := range p.attributes() {
		header.Set("ce-"+name, percentEncode(value))
	}
	resp, err := c.do(ctx, call{method: http.MethodPost, path: "/v1/events/" + url.PathEscape(p.typ), query: p.query(),
		header: header, body: bytes.NewReader(data), changes: true})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	doc, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return c.lost(ctx, call{changes: true}, err)
	}
	var answer struct{ Results []json.RawMessage }
	if err := json.Unmarshal(doc, &answer); err != nil {
		return autobus.NewError(autobus.ReasonServerUnreachable, "the answer cannot be read: %s", err)
	}
	r := &receipts{app: p.app, typ: p.typ, single: true}
	for _, raw := range answer.Results {
		if err := r.take(raw); err != nil {
			return err
		}
	}
	r.close(false)
	return r.end()
}
