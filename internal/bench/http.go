// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/autobus-io/autobus"
)

// byHTTP sends each batch as a request of its own over connections that stay open.
func (r *rig) byHTTP(values []payload, callers, batch int) (publisher, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxConnsPerHost, t.MaxIdleConnsPerHost = r.Connections, max(callers, r.Connections)
	c := &http.Client{Transport: t}
	r.defers(c.CloseIdleConnections)
	address := strings.TrimSuffix(r.URL, "/") + "/v1/events"
	media := "application/x-ndjson"
	switch {
	case r.Value == Opaque:
		media = opaqueContent
	case r.Transport == Single:
		media = "application/json"
		fallthrough
	default:
		address += "/" + url.PathEscape(r.typ)
	}
	posters := make([]poster, callers)
	return publisher{send: func(ctx context.Context, caller, first int) error {
		p := &posters[caller]
		p.body.Reset()
		for i := range batch {
			v := &values[(caller*len(values)/callers+first+i)%len(values)]
			p.body.Write(v.data)
			if r.Transport == NDJSON {
				p.body.WriteByte('\n')
			}
			p.key = v.key
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(p.body.Bytes()))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", media)
		if r.Value == Opaque {
			req.Header.Set("Ce-Specversion", "1.0")
			req.Header.Set("Ce-Type", r.typ)
			req.Header.Set("Ce-Partitionkey", string(p.key))
		}
		r.authorize(req)
		return p.post(c, req, batch)
	}}, nil
}

// poster is one caller's memory.
type poster struct {
	body, answer bytes.Buffer
	key          []byte
}

// post sends a request and wants all its events to be written.
func (p *poster) post(c *http.Client, req *http.Request, events int) error {
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	p.answer.Reset()
	if _, err := p.answer.ReadFrom(resp.Body); err != nil {
		return err
	}
	// The answers of a gateway that works have one form; parsing them all would be the client's cost, not the bus's.
	if got := bytes.Count(p.answer.Bytes(), []byte(`"status":"written"`)); got != events {
		return autobus.NewError(autobus.ReasonServerUnreachable, "of %d events %d were written; the gateway answered %s: %s",
			events, got, resp.Status, clip(p.answer.String()))
	}
	return nil
}

func clip(s string) string {
	const most = 500
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}

func (r *rig) authorize(req *http.Request) {
	if r.Token != "" {
		req.Header.Set("Authorization", "Bearer "+r.Token)
	}
}

// forget deletes a subscription.
func (r *rig) forget(ctx context.Context, name string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete,
		strings.TrimSuffix(r.URL, "/")+"/v1/subscriptions/"+url.PathEscape(name), nil)
	if err != nil {
		return err
	}
	r.authorize(req)
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	if err == nil && resp.StatusCode != http.StatusNoContent && resp.StatusCode != http.StatusNotFound {
		err = fmt.Errorf("delete subscription %s: %s: %s", name, resp.Status, clip(string(answer)))
	}
	return err
}
