// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/doctor"
)

// answer is who was found behind an address.
type answer int

const (
	nobody   answer = iota // nothing that speaks HTTP, or something that is no bus
	closed                 // a bus that tells this asker nothing
	answered               // a bus that said how it is
)

// askTimeout bounds one question to an instance: a hanging one must not take the time of the others.
const askTimeout = 5 * time.Second

// ask asks the bus behind an address how it is. Nobody there is the caller's to judge.
func (d *doctorFlags) ask(ctx context.Context, c *api, where string) answer {
	_, who := d.askStatus(ctx, c, where)
	return who
}

func (d *doctorFlags) askStatus(ctx context.Context, c *api, where string) (s doctor.Status, who answer) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	asked := time.Now()
	resp, err := c.do(ctx, call{method: http.MethodGet, path: "/v1/status"})
	if err != nil {
		e, _ := errors.AsType[*autobus.Error](err)
		if e == nil || e.Reason == autobus.ReasonServerUnreachable || e.Reason == autobus.ReasonInternal {
			return s, nobody
		}
		if e.Reason == autobus.ReasonUnauthenticated && c.token != "" && c.token == d.peerToken {
			d.problem(doctor.CheckInstance, where, "runs with another peer secret, or with none: workers and acks are not "+
				"passed on between it and others", "give every instance the same peer_secret_file, and restart those that "+
				"have another one")
			return s, closed
		}
		fix := "give --token or --token-file to hear how it is"
		if c.token != "" {
			fix = "give a token that counts"
		}
		if e.Reason != autobus.ReasonUnauthenticated {
			fix = e.NextStep()
		}
		d.skipped(doctor.CheckInstance, where, "a bus runs and answers "+string(e.Reason), fix)
		return s, closed
	}
	defer resp.Body.Close()
	got := time.Now()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil || json.Unmarshal(raw, &s) != nil || s.Instance == "" {
		return s, nobody
	}
	d.add(doctor.Instance(s)...)
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		d.add(doctor.DateSkew("instance "+s.Instance, date, asked, got))
	}
	d.versions[s.Instance] = s.Version
	return s, answered
}
