// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"testing"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bustest"
)

// TestNDJSON runs all of the suite: it is also where events are published and tailed over HTTP.
func TestNDJSON(t *testing.T) {
	transport(t, streams(ndjson), bustest.Exercise, streamFeatures())
}

// TestSSE differs from it in how a stream is framed.
func TestSSE(t *testing.T) {
	transport(t, streams(sse), bustest.ExerciseGroups, streamFeatures())
}

func streamFeatures() bustest.Features {
	return bustest.Features{
		NoStream:     "each request stands alone; the body of one that goes on is the stream, which others test",
		NoCreate:     "a subscription is made by a PUT of its own, which changes the one that is there",
		NoDetached:   "leases end with the stream, or with the session that it names",
		NoResize:     "the window is a parameter of the stream",
		NoByteWindow: "the window is a number of events",
		NoInbox:      "a stream has none; requests are calls of their own",
	}
}

// framing is how the objects of a stream are told apart.
type framing struct {
	media string
	next  func(*bufio.Reader) ([]byte, error) // the next object; nil = a sign of life
}

var ndjson = framing{"application/x-ndjson", func(r *bufio.Reader) ([]byte, error) { return r.ReadBytes('\n') }}

var sse = framing{"text/event-stream", func(r *bufio.Reader) (data []byte, err error) {
	for {
		line, err := r.ReadBytes('\n')
		if err != nil {
			return nil, err
		}
		field, value, _ := bytes.Cut(bytes.TrimRight(line, "\r\n"), []byte(":"))
		switch {
		case len(field) == 0 && len(value) == 0: // an empty line ends an event
			return data, nil
		case string(field) == "data":
			data = append(append(data, bytes.TrimPrefix(value, []byte(" "))...), '\n')
		case len(field) > 0:
			return nil, fmt.Errorf("line %q is neither data nor a comment", line)
		}
	}
}}

func streams(f framing) driver {
	return func(s *site, token string) autobus.Bus {
		return &httpBus{site: s, token: token, consume: f.consume}
	}
}

// consume reads a stream. It names its session, by which it says goodbye; that the server ends the stream then tells
// that the session is over. A death is the end of the connection.
func (f framing) consume(ctx context.Context, b *httpBus, s *autobus.Subscription, h autobus.Handler) error {
	session := "s" + strconv.FormatInt(b.site.sessions.Add(1), 10)
	q := url.Values{"session": {session}}
	if s.Window != nil {
		q.Set("window", strconv.Itoa(s.Window.Events))
	}
	// Not the reader's context, which would cut the connection in any case.
	connection, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	parted := make(chan bool, 1) // whether it said goodbye
	stop := context.AfterFunc(ctx, func() {
		goodbye := subscriptionPath(s.Name) + "/sessions/" + session
		said := !errors.Is(context.Cause(ctx), autobus.ErrReaderDied) &&
			b.call(connection, http.MethodDelete, goodbye, "", nil, nil) == nil
		if !said { // or the stream is not open yet
			cut()
		}
		parted <- said
	})
	err := f.read(connection, ctx, b, s, h, q)
	if stop() {
		return err
	}
	if said := <-parted; said && !errors.Is(err, io.EOF) {
		return fmt.Errorf("after the goodbye: %w", err)
	}
	return nil
}

func (f framing) read(connection, ctx context.Context, b *httpBus, s *autobus.Subscription, h autobus.Handler,
	q url.Values) error {
	resp, err := b.do(connection, http.MethodGet, subscriptionPath(s.Name)+"/stream?"+q.Encode(), nil,
		http.Header{"Accept": {f.media}})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return readProblem(resp)
	}
	if media := resp.Header.Get("Content-Type"); media != f.media {
		return fmt.Errorf("asked for %s, got %s", f.media, media)
	}
	if s.Opened != nil {
		s.Opened("")
	}
	noted := func(ctx context.Context, ds []autobus.Delivery) {
		b.lend(s.Name, ds, func() {})
		h(ctx, ds)
	}
	objects := bufio.NewReader(resp.Body)
	for {
		object, err := f.next(objects)
		if err != nil {
			return unreachable(err)
		}
		var in frame
		if len(object) > 0 {
			if err := json.Unmarshal(object, &in); err != nil {
				return fmt.Errorf("object %q: %w", object, err)
			}
		}
		if in.Op == "" && (len(object) == 0 || !in.Heartbeat.IsZero()) {
			continue
		}
		if err := in.tell(ctx, s, noted); err != nil {
			return err
		}
	}
}
