// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

const (
	maxLine    = 1 << 20 // of an answer
	maxProblem = 64 << 10
)

// receive makes the request and looks at every result. What it does not find an outcome for stays in sent.
func (s *stream) receive() {
	req, err := http.NewRequestWithContext(s.ctx, http.MethodPost, s.lane.feed.server+"/v1/events", s.body)
	if err != nil {
		s.fatal = err
		return
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	if token := s.lane.feed.token; token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := s.lane.client.Do(req)
	if err != nil {
		s.why = err
		return
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		s.refuse(resp)
		return
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		if !s.take(lines.Bytes()) {
			return
		}
	}
	if s.why == nil {
		s.why = errors.Join(errors.New("the stream ended"), lines.Err())
	}
}

// refuse deals with an answer to the request as a whole.
func (s *stream) refuse(resp *http.Response) {
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
	if err != nil {
		s.why = err
		return
	}
	var p problem
	if err := json.Unmarshal(text, &p); err != nil || p.Reason == "" {
		s.fatal = fmt.Errorf("%s does not look like the bus: it answered %s", s.lane.feed.server, resp.Status)
		return
	}
	s.end(&p)
}

// end notes why the bus ends the stream.
func (s *stream) end(p *problem) {
	if s.why, s.after = p.err(), p.after(); !p.Retriable {
		s.fatal = s.why
	}
}

// take handles one line of the answer; false ends the stream.
func (s *stream) take(line []byte) bool {
	var r result
	if err := json.Unmarshal(line, &r); err != nil {
		s.fatal = fmt.Errorf("the bus answered %.200q: %w", line, err)
		return false
	}
	if r.Status == "" && r.Error != nil {
		s.end(r.Error)
		return false
	}
	var it item
	select {
	case it = <-s.sent:
	default:
	}
	if it.id != r.ID || it.id == "" {
		s.fatal = fmt.Errorf("the bus answered about event %q when it was event %q's turn", r.ID, it.id)
		return false
	}
	count := &s.lane.feed.count
	switch {
	case r.Status == "written":
		s.settled++
		count.add(func(c *counts) {
			c.written++
			if r.Duplicate {
				c.duplicates++
			}
		})
	case r.Status == "unknown", r.Status == "refused" && r.Error != nil && r.Error.Retriable:
		s.halt()
		s.failed = append(s.failed, it)
		if s.why == nil {
			s.why, s.after = r.Error.err(), r.Error.after()
		}
	case r.Status == "refused":
		s.settled++
		s.lane.feed.refused(it, r.Error)
	default:
		s.fatal = fmt.Errorf("the bus answered %.200q, which is no outcome", line)
		return false
	}
	return true
}
