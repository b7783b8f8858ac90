// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/autobus-io/autobus"
)

// requestFlags is one request command as it was typed.
type requestFlags struct {
	publishFlags
	replies string
	wait    time.Duration
}

func (a *app) newRequestCommand() *cobra.Command {
	q := &requestFlags{publishFlags: publishFlags{app: a, count: 1}}
	cmd := &cobra.Command{
		Use:   "request TYPE",
		Short: "Ask the services that answer a type",
		Long: "Publish a request and print what is replied to it.\n\n" +
			"One reply: its data, as it came; under -o json and -o ndjson an object with responder and data. Several: a line\n" +
			"for each as it comes, and on stderr who is missing; under -o ndjson the last line says it. Fewer than were\n" +
			"wanted are exit status 4.\n\n" +
			"A reply that is an error is printed as well, and the exit status is 1.\n\n" +
			exitCodes(exitOK, exitFailed, exitUsage, exitUnreachable, exitInterrupted),
		Example: "  autobus request pricing.quote.price.v1 -d '{\"sku\":\"A\"}'\n" +
			"  autobus request pricing.quote.price.v1 -d @quote.json --replies all --wait 2s\n" +
			"  autobus request refunds.refund.create.v1 --example --replies 0",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeTypes,
		RunE: func(cmd *cobra.Command, args []string) error {
			q.typ = args[0]
			return q.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVarP(&q.data, "data", "d", "", "the data: JSON, @FILE, or - for stdin")
	f.BoolVar(&q.example, "example", false, "use the spec's example as data")
	f.StringVarP(&q.key, "key", "k", "", "partition key, where the spec names no field for it")
	f.StringArrayVarP(&q.headers, "header", "H", nil, "CloudEvents attribute name=value; may be repeated")
	f.StringVar(&q.id, "id", "", "request id; default: made by the bus")
	f.StringVar(&q.replies, "replies", "1", "how many replies: a number, or all; 0 waits for none")
	f.DurationVar(&q.wait, "wait", 5*time.Second, "how long to wait for replies, at most 60s")
	return cmd
}

func (q *requestFlags) run(ctx context.Context) error {
	if err := q.check(); err != nil {
		return err
	}
	c, err := q.app.api()
	if err != nil {
		return err
	}
	defer c.close()
	data, err := q.readData(ctx, c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, q.wait+answerGrace)
	defer cancel()
	header := http.Header{"Content-Type": {"application/json"}}
	for name, value := range q.attributes() {
		header.Set("ce-"+name, percentEncode(value))
	}
	post := call{method: http.MethodPost, path: "/v1/requests/" + url.PathEscape(q.typ), header: header,
		query: url.Values{"replies": {q.replies}, "timeout": {q.wait.String()}}, body: bytes.NewReader(data), changes: true}
	resp, err := c.do(ctx, post)
	if late, ok := errors.AsType[*autobus.Error](err); ok && late.Reason == autobus.ReasonReplyTimeout {
		return late.WithHint("It may still be answered: ask again with the same --id, or give it a longer --wait.")
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusAccepted:
		q.app.note("written; nobody waits for a reply")
		return nil
	case strings.HasPrefix(resp.Header.Get("Content-Type"), "application/x-ndjson"):
		return q.many(ctx, c, resp.Body)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return c.lost(ctx, post, err)
	}
	return q.one(resp.Header, body)
}

// replied is a reply in the JSON of this command.
type replied struct {
	Responder  string          `json:"responder"`
	Error      string          `json:"error,omitempty"`
	Data       json.RawMessage `json:"data,omitempty"`
	DataBase64 []byte          `json:"data_base64,omitempty"`
}

func (q *requestFlags) one(h http.Header, body []byte) error {
	r := replied{Responder: percentDecode(h.Get("Ce-Responder")), Error: percentDecode(h.Get("Ce-Error"))}
	if r.Responder == "" {
		r.Responder = percentDecode(h.Get("Ce-Source"))
	}
	if json.Valid(body) {
		r.Data = body
	} else {
		r.DataBase64 = body
	}
	if err := q.print(r, body); err != nil {
		return err
	}
	return q.failed(r)
}

// failed ends the command where the reply was an error.
func (q *requestFlags) failed(r replied) error {
	if r.Error == "" {
		return nil
	}
	q.app.note("%s answered the error %s", r.Responder, r.Error)
	return &exitError{code: exitFailed}
}

func (q *requestFlags) print(r replied, body []byte) error {
	if q.app.output != "table" {
		return q.app.emitValue(r)
	}
	_, err := q.app.out.Write(append(bytes.TrimRight(body, "\n"), '\n'))
	return err
}

// many prints replies as they come.
func (q *requestFlags) many(ctx context.Context, c *api, body io.Reader) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, maxAnswer)
	var failed error
	for lines.Scan() {
		var line struct {
			Responder  string   `json:"responder"`
			Error      string   `json:"error"`
			Done       bool     `json:"done"`
			Got        int      `json:"got"`
			Missing    []string `json:"missing"`
			Duplicates int      `json:"duplicates"`
			Event      struct {
				Data       json.RawMessage `json:"data"`
				DataBase64 []byte          `json:"data_base64"`
			} `json:"event"`
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return autobus.NewError(autobus.ReasonServerUnreachable, "the answer cannot be read: %s", err)
		}
		if line.Done {
			if q.app.output == "ndjson" {
				if err := q.app.emit(lines.Bytes()); err != nil {
					return err
				}
			}
			if wanted, err := strconv.Atoi(q.replies); err == nil && line.Got >= wanted || len(line.Missing) == 0 {
				return failed
			}
			q.app.note("%d replies; missing: %s", line.Got, strings.Join(line.Missing, ", "))
			return &exitError{code: exitUnreachable}
		}
		r := replied{Responder: line.Responder, Error: line.Error, Data: line.Event.Data, DataBase64: line.Event.DataBase64}
		text := r.DataBase64
		if r.Data != nil {
			text = r.Data
		}
		if err := q.print(r, append([]byte(r.Responder+"\t"), text...)); err != nil {
			return err
		}
		if err := q.failed(r); err != nil {
			failed = err
		}
	}
	return c.lost(ctx, call{}, io.ErrUnexpectedEOF)
}

// percentDecode is the reverse of percentEncode.
func percentDecode(s string) string {
	if d, err := url.PathUnescape(s); err == nil {
		return d
	}
	return s
}
