// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// placedEvent is an event where it stands in its type, as tail and subscriptions show it.
type placedEvent struct {
	Type        string          `json:"type"` // a subscription's delivery says it inside the event only
	Partition   int32           `json:"partition"`
	Offset      int64           `json:"offset"`
	Unspecified bool            `json:"unspecified"`
	Key         *string         `json:"key"`
	KeyBase64   string          `json:"key_base64"`
	Event       json.RawMessage `json:"event"`
}

// eventBody is what the commands look at inside an event.
type eventBody struct {
	ID          string          `json:"id"`
	Source      string          `json:"source"`
	Type        string          `json:"type"`
	Subject     string          `json:"subject"`
	Time        time.Time       `json:"time"`
	ContentType string          `json:"datacontenttype"`
	Data        json.RawMessage `json:"data"`
	DataBase64  *string         `json:"data_base64"`
}

func (p *placedEvent) read() (e eventBody, err error) {
	if err := json.Unmarshal(p.Event, &e); err != nil {
		return e, unreadable("an event", err)
	}
	return e, nil
}

// bytes is the event's data as it was published.
func (e *eventBody) bytes() ([]byte, error) {
	if e.DataBase64 == nil {
		return e.Data, nil
	}
	data, err := base64.StdEncoding.DecodeString(*e.DataBase64)
	if err != nil {
		return nil, unreadable("an event", err)
	}
	return data, nil
}

// printEvent writes an event to stdout: under -o ndjson the line as it came, byte for byte, which publish --ndjson
// takes back. more are columns of the table.
func (a *app) printEvent(line []byte, p *placedEvent, more ...string) error {
	switch a.output {
	case "ndjson":
		_, err := a.out.Write(append(line, '\n'))
		return err
	case "json":
		return a.emit(line)
	}
	e, err := p.read()
	if err != nil {
		return err
	}
	columns := []string{a.paint(a.out, dim, e.Time.Local().Format("15:04:05.000")),
		a.paint(a.out, green, cmp.Or(p.Type, e.Type)), fmt.Sprintf("%d/%d", p.Partition, p.Offset)}
	if p.Unspecified {
		columns = append(columns, a.paint(a.out, yellow, "foreign"))
	}
	columns = append(columns, more...)
	switch {
	case p.Key != nil:
		columns = append(columns, "key="+printable(*p.Key))
	case p.KeyBase64 != "":
		columns = append(columns, "key(base64)="+p.KeyBase64)
	}
	switch {
	case e.Data != nil:
		columns = append(columns, string(e.Data))
	case e.DataBase64 != nil:
		columns = append(columns, "data(base64)="+*e.DataBase64)
	default:
		columns = append(columns, a.paint(a.out, dim, "(no data)"))
	}
	_, err = fmt.Fprintln(a.out, strings.Join(columns, "  "))
	return err
}

// printable quotes what could steer a terminal.
func printable(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}
