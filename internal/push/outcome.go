// SPDX-License-Identifier: Apache-2.0

package push

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"time"

	"github.com/autobus-io/autobus"
)

// maxOutcomes is what is read of the answer to a batch of n events: room for a long reason for each.
func maxOutcomes(n int) int { return maxAnswer + n*(4<<10) }

// told is what an endpoint says became of one event of a batch.
type told struct {
	ID      string              `json:"id"`
	Source  string              `json:"source"` // may be left away where the id is the only one of its batch
	Outcome autobus.OutcomeKind `json:"outcome"`
	Delay   autobus.Duration    `json:"delay"` // of a retry; 0 = the policy's
	Reason  string              `json:"reason"`
}

// outcomes reads what the answer to a batch says of single events: errors in the order of ds, nil for all that it does
// not name, because the status says that they are done. ok is false when it says nothing of the kind. An answer that
// tries to and cannot be understood is an error: to take any of its events for done might lose it.
func outcomes(h http.Header, status int, body []byte, ds []*autobus.Delivery) (es autobus.Errors, ok bool, err error) {
	media, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	multi := status == http.StatusMultiStatus // it says that the status alone says nothing
	if media != "application/json" || len(bytes.TrimSpace(body)) == 0 {
		if multi {
			return nil, true, errors.New("the endpoint answered 207 without outcomes in JSON")
		}
		return nil, false, nil
	}
	if most := maxOutcomes(len(ds)); len(body) > most {
		return nil, true, fmt.Errorf("the endpoint's answer has more than %d bytes", most)
	}
	if !json.Valid(body) {
		return nil, true, errors.New("the endpoint's answer says that it is JSON, and is none")
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil || fields["outcomes"] == nil {
		if multi {
			return nil, true, errors.New("the endpoint answered 207 without outcomes")
		}
		return nil, false, nil
	}
	var in struct {
		Outcomes []told `json:"outcomes"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, true, fmt.Errorf("the endpoint's outcomes cannot be read: %s", clip(err.Error()))
	}
	es = make(autobus.Errors, len(ds))
	seen := make([]bool, len(ds))
	for _, o := range in.Outcomes {
		i, err := find(ds, o.ID, o.Source)
		switch {
		case err != nil:
			return nil, true, err
		case seen[i]:
			return nil, true, fmt.Errorf("the endpoint told two outcomes of the event %q", clip(o.ID))
		}
		seen[i] = true
		if es[i], err = o.verdict(); err != nil {
			return nil, true, err
		}
	}
	return es, true, nil
}

// find is the index of the event that is meant.
func find(ds []*autobus.Delivery, id, source string) (int, error) {
	at := -1
	for i, d := range ds {
		if d.ID != id || source != "" && d.Source != source {
			continue
		}
		if at >= 0 {
			return 0, fmt.Errorf("the endpoint told an outcome of %q, and several events have that id: their sources differ",
				clip(id))
		}
		at = i
	}
	if at < 0 {
		return 0, fmt.Errorf("the endpoint told an outcome of %q, which it was not sent", clip(id))
	}
	return at, nil
}

// verdict is the error that a handler would return for it.
func (o *told) verdict() (verdict, bad error) {
	said := func(otherwise string) error {
		if o.Reason == "" {
			return errors.New(otherwise)
		}
		return errors.New(o.Reason)
	}
	switch {
	case o.Outcome != autobus.Retry && o.Delay != 0:
		return nil, fmt.Errorf("the endpoint told a delay of the event %q, which is not to be retried", clip(o.ID))
	case o.Delay < 0 || o.Delay > autobus.MaxRetryDelay:
		return nil, fmt.Errorf("the endpoint told a delay of the event %q that is not 0s to %s", clip(o.ID),
			time.Duration(autobus.MaxRetryDelay))
	}
	switch o.Outcome {
	case autobus.Ack:
		return nil, nil
	case autobus.Skip:
		return autobus.Skipped(o.Reason), nil
	case autobus.Retry:
		return autobus.RetryAfter(time.Duration(o.Delay), said("the endpoint asked for it again")), nil
	case autobus.Reject:
		return autobus.Rejected(said("the endpoint rejected it")), nil
	case autobus.Extend, autobus.Release: // outcomes of a lease, of which an endpoint has none
	}
	return nil, fmt.Errorf("the endpoint told the outcome %q of the event %q, and not ack, retry, skip or reject",
		clip(string(o.Outcome)), clip(o.ID))
}
