// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bustest"
)

// frame is a line of a stream, or the answer to a poll.
type frame struct {
	Op         string          `json:"op"`
	Deliveries []wire          `json:"deliveries"`
	Leases     []autobus.Lease `json:"leases"`

	deliveries []autobus.Delivery
}

// wire is a delivery object.
type wire struct {
	Lease     autobus.Lease   `json:"lease"`
	Attempt   int             `json:"attempt"`
	Fence     uint64          `json:"fence"`
	Deadline  time.Time       `json:"deadline"`
	Partition int32           `json:"partition"`
	Offset    int64           `json:"offset"`
	Key       *string         `json:"key"`
	Event     json.RawMessage `json:"event"`
}

// parse reads a frame.
func parse(text []byte) (f frame, err error) {
	if err := json.Unmarshal(text, &f); err != nil {
		return f, err
	}
	for _, w := range f.Deliveries {
		e, bad := autobus.ParseEvent(w.Event)
		if bad != nil {
			return f, bad
		}
		if w.Key != nil {
			e.Key = []byte(*w.Key)
		}
		f.deliveries = append(f.deliveries, autobus.Delivery{Event: e, Lease: w.Lease, Attempt: w.Attempt, Fence: w.Fence,
			Deadline: w.Deadline, Partition: w.Partition, Offset: w.Offset})
	}
	return f, nil
}

// call sends a request about the subscription. The body is JSON, or none.
func (c *crew) call(ctx context.Context, g *gateway, method, path string, body any) (*http.Response, error) {
	var in io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		in = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, g.url+"/v1/subscriptions/"+c.name+path, in)
	if err != nil {
		return nil, err
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	g.authorize(req)
	return c.client.Do(req)
}

// ask sends a request and reads the whole answer. Other statuses than those of success are errors.
func (c *crew) ask(g *gateway, method, path string, body any) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), bustest.Patience)
	defer cancel()
	resp, err := c.call(ctx, g, method, path, body)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode/100 != 2 {
		err = &refusal{resp.Status, text}
	}
	return text, err
}

// refusal is an answer that says that nothing was done.
type refusal struct {
	status string
	text   []byte
}

func (r *refusal) Error() string { return fmt.Sprintf("%s: %s", r.status, r.text) }

// stream opens a stream and reads it until it ends. What it brings is noted before anybody works on it.
func (c *crew) stream(ctx context.Context, g *gateway, session string, s *bustest.Session) <-chan frame {
	frames := make(chan frame, 1000)
	c.working.Go(func() {
		defer close(frames)
		resp, err := c.call(ctx, g, http.MethodGet, fmt.Sprintf("/stream?window=%d&session=%s", c.window, session), nil)
		if err != nil {
			return
		}
		defer resp.Body.Close()
		in := bufio.NewScanner(resp.Body)
		in.Buffer(nil, 4<<20)
		for in.Scan() {
			f, err := parse(in.Bytes())
			if err != nil {
				text := in.Text()
				if in.Scan() { // the last line of a connection may be cut, no other
					c.t.Errorf("the line %.200q of a stream cannot be read: %v", text, err)
				}
				return
			}
			switch f.Op {
			case "events":
				c.saw(g, s, f.deliveries)
			case "revoke":
				s.Revoked(f.Leases)
			}
			frames <- f
		}
	})
	return frames
}

// goodbye ends a stream so that it does not look like a death. A gateway that is gone needs none.
func (c *crew) goodbye(g *gateway, session string) {
	_, _ = c.ask(g, http.MethodDelete, "/sessions/"+session, nil)
}

// poll is one poll. Its leases live on without it.
func (c *crew) poll(g *gateway, most int, wait string) ([]autobus.Delivery, error) {
	s := c.group.Open(true)
	defer s.Ended()
	text, err := c.ask(g, http.MethodGet, fmt.Sprintf("/events?max=%d&wait=%s", max(most, 1), wait), nil)
	if err != nil {
		return nil, err
	}
	f, err := parse(text)
	if err != nil {
		c.t.Errorf("the answer %.200q to a poll cannot be read: %v", text, err)
		return nil, err
	}
	c.saw(g, s, f.deliveries)
	return f.deliveries, nil
}

// settle tells outcomes and notes what came of them. The error means that it is not known which counted, or that
// certainly none did.
func (c *crew) settle(g *gateway, ss []autobus.Settlement) error {
	type outcome struct {
		Lease   autobus.Lease       `json:"lease"`
		Outcome autobus.OutcomeKind `json:"outcome"`
		Delay   autobus.Duration    `json:"delay,omitempty"`
		Reason  string              `json:"reason,omitempty"`
		Status  string              `json:"status,omitempty"`
	}
	var told, got struct {
		Results []outcome `json:"results"`
	}
	for _, s := range ss {
		told.Results = append(told.Results, outcome{Lease: s.Lease, Outcome: s.Outcome.Kind,
			Delay: autobus.Duration(s.Outcome.Delay), Reason: s.Outcome.Reason})
	}
	answered := c.history.Settle(ss)
	text, err := c.ask(g, http.MethodPost, "/acks", told)
	if err == nil {
		err = json.Unmarshal(text, &got)
	}
	var dial *net.OpError
	var refused *refusal
	switch {
	case errors.As(err, &refused), errors.As(err, &dial) && dial.Op == "dial": // nobody heard of it, so none counted
		for i := range ss {
			ss[i].Err = autobus.NewError(autobus.ReasonLeaseStale, "not told")
		}
		answered(nil)
		return err
	case err == nil && len(got.Results) != len(ss):
		err = fmt.Errorf("%d outcomes were told, %d answered", len(ss), len(got.Results))
		c.t.Error(err)
	}
	if err != nil {
		answered(err)
		return err
	}
	now := time.Now()
	c.mu.Lock()
	for i, r := range got.Results {
		switch r.Status {
		case "ok":
			if ss[i].Outcome.Kind == autobus.Ack {
				c.acks = append(c.acks, now)
			}
		case "stale", "unknown":
			ss[i].Err = autobus.NewError(autobus.ReasonLeaseStale, "%s", r.Status)
			c.left[g]++
		case "failed": // the instance that gave the lease did not answer: it may have counted
			err = fmt.Errorf("a settlement is %q: %s", r.Status, text)
		default:
			c.t.Errorf("a settlement is %q: %s", r.Status, text)
		}
	}
	c.mu.Unlock()
	answered(err)
	return err
}

// create makes the subscription.
func (c *crew) create(g *gateway, p autobus.Policy) {
	c.t.Helper()
	if _, err := c.ask(g, http.MethodPut, "", p); err != nil {
		c.t.Fatalf("make the subscription: %v", err)
	}
}

// lag is what the bus says of how far the subscription is behind.
type lag struct {
	Behind     int64 `json:"behind"`
	Undone     int64 `json:"undone"`
	Parked     int64 `json:"parked"`
	Partitions []struct {
		Partition int32 `json:"partition"`
		Position  int64 `json:"position"`
		End       int64 `json:"end"`
	} `json:"partitions"`
}

func (c *crew) lag(g *gateway) (l lag) {
	if text, err := c.ask(g, http.MethodGet, "/lag", nil); err == nil {
		err = json.Unmarshal(text, &l)
		if err != nil {
			c.t.Errorf("lag: %v", err)
		}
	}
	return l
}

// holds is how many partitions of the subscription a gateway has.
func (c *crew) holds(g *gateway) int {
	var d struct {
		Instance struct {
			Partitions []struct{} `json:"partitions"`
		} `json:"instance"`
	}
	if text, err := c.ask(g, http.MethodGet, "", nil); err == nil {
		err = json.Unmarshal(text, &d)
		if err != nil {
			c.t.Errorf("describe: %v", err)
		}
	}
	return len(d.Instance.Partitions)
}
