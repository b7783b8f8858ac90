// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"encoding/json"
	"mime"
	"net/http"
	"strings"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
)

// maxSingle bounds the body with one event and one line of a stream: an event in base64 with its attributes fits.
const maxSingle = 2 * autobus.MaxEventBytes

const (
	mediaJSON       = "application/json"
	mediaNDJSON     = "application/x-ndjson"
	mediaSSE        = "text/event-stream"
	mediaStructured = "application/cloudevents+json"
	mediaBatch      = "application/cloudevents-batch+json"
)

// publish serves POST /v1/events: whole CloudEvents, one, a batch or a stream of them.
func (e *Edge) publish(w http.ResponseWriter, r *http.Request) {
	o, media, err := preamble(r)
	if err != nil {
		edge.WriteProblem(w, r, err)
		return
	}
	switch {
	case media == mediaStructured:
		e.publishOne(w, r, o, func(body []byte) (autobus.Event, *autobus.Error) {
			ev, err := autobus.ParseEvent(body)
			if err == nil {
				err = setIdempotencyKey(&ev, r.Header)
			}
			return ev, err
		})
	case media == mediaBatch, media == mediaNDJSON:
		if err := singleOnly(r.Header, "Idempotency-Key"); err != nil {
			edge.WriteProblem(w, r, err)
		} else if media == mediaBatch {
			e.publishBatch(w, r, o)
		} else {
			e.stream(w, r, o, autobus.ParseEvent)
		}
	case isBinary(r.Header) && !strings.HasPrefix(media, "application/cloudevents"):
		e.publishOne(w, r, o, func(body []byte) (autobus.Event, *autobus.Error) {
			ev := autobus.Event{ContentType: r.Header.Get("Content-Type"), Data: body}
			if len(body) == 0 && ev.ContentType == "" {
				ev.Data = nil
			}
			return ev, fromHeaders(&ev, r.Header, true)
		})
	default:
		edge.WriteProblem(w, r, autobus.NewError(autobus.ReasonMediaType, "the content type %q is not one of this path's",
			edge.Clip(media)).WithHint("Send %s, %s, %s or ce-* headers; data alone goes to POST /v1/events/{type} as %s.",
			mediaStructured, mediaBatch, mediaNDJSON, mediaJSON))
	}
}

// publishTyped serves POST /v1/events/{type}: the path names the type, the body is data.
func (e *Edge) publishTyped(w http.ResponseWriter, r *http.Request) {
	o, media, err := preamble(r)
	if err != nil {
		edge.WriteProblem(w, r, err)
		return
	}
	event := func(data []byte) autobus.Event {
		return autobus.Event{Type: r.PathValue("type"), ContentType: mediaJSON, Data: data}
	}
	switch media {
	case mediaJSON:
		e.publishOne(w, r, o, func(body []byte) (autobus.Event, *autobus.Error) {
			ev := event(body)
			return ev, fromHeaders(&ev, r.Header, false)
		})
	case mediaNDJSON:
		if err := singleOnly(r.Header, "Idempotency-Key", "Ce-"); err != nil {
			edge.WriteProblem(w, r, err)
			return
		}
		e.stream(w, r, o, func(line []byte) (autobus.Event, *autobus.Error) { return event(line), nil })
	default:
		edge.WriteProblem(w, r, autobus.NewError(autobus.ReasonMediaType, "the content type %q is not one of this path's",
			edge.Clip(media)).WithHint("Send content-type: %s, or %s for one event per line; CloudEvents go to POST /v1/events.",
			mediaJSON, mediaNDJSON))
	}
}

// fromHeaders puts the attributes of headers into an event whose body is its data.
func fromHeaders(ev *autobus.Event, h http.Header, versionNeeded bool) *autobus.Error {
	if err := checkVersion(h, versionNeeded); err != nil {
		return err
	}
	if err := setHeaders(ev, h); err != nil {
		return err
	}
	return setIdempotencyKey(ev, h)
}

// preamble judges all of a publish that can be judged before its body.
func preamble(r *http.Request) (o options, media string, err *autobus.Error) {
	if o, err = publishOptions(r); err != nil {
		return o, "", err
	}
	if err = checkReserved(r.Header); err != nil {
		return o, "", err
	}
	media, err = mediaType(r.Header)
	return o, media, err
}

func mediaType(h http.Header) (string, *autobus.Error) {
	if enc := h.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		return "", autobus.NewError(autobus.ReasonMediaType, "the content encoding %q is not taken", edge.Clip(enc)).
			WithHint("Send the body uncompressed.")
	}
	given := h.Get("Content-Type")
	if given == "" {
		return "", nil
	}
	media, params, err := mime.ParseMediaType(given)
	if err != nil {
		return "", autobus.NewError(autobus.ReasonMediaType, "the content type %q cannot be read", edge.Clip(given))
	}
	if c := params["charset"]; c != "" && autobus.IsJSON(media) && !strings.EqualFold(c, "utf-8") {
		return "", autobus.NewError(autobus.ReasonMediaType, "the charset %q is not taken", edge.Clip(c)).
			WithHint("JSON is UTF-8.")
	}
	return media, nil
}

func (e *Edge) publishOne(
	w http.ResponseWriter, r *http.Request, o options, read func(body []byte) (autobus.Event, *autobus.Error),
) {
	body, err := edge.ReadBody(w, r, maxSingle, autobus.ReasonEventTooLarge)
	if err != nil {
		edge.WriteProblem(w, r, err)
		return
	}
	p := edge.NewParcel(r, o.mode, nil, 0)
	ev, err := read(body)
	if err == nil {
		traceOf(r.Header).set(&ev)
		err = o.schedule(&ev)
	} else if err.Reason == autobus.ReasonBodyUnreadable || err.Reason == autobus.ReasonRequestInvalid {
		edge.WriteProblem(w, r, err)
		return
	}
	p.Add(ev, err)
	e.settle(w, r, p, o, body)
}

func (e *Edge) publishBatch(w http.ResponseWriter, r *http.Request, o options) {
	body, err := edge.ReadBody(w, r, autobus.MaxBatchBytes, autobus.ReasonBatchTooLarge)
	if err != nil {
		edge.WriteProblem(w, r, err)
		return
	}
	elements, err := autobus.SplitBatch(body)
	if err != nil {
		edge.WriteProblem(w, r, err)
		return
	}
	tc := traceOf(r.Header)
	p := edge.NewParcel(r, o.mode, nil, 0)
	for _, raw := range elements {
		ev, err := autobus.ParseEvent(raw)
		if err == nil {
			tc.set(&ev)
			err = o.schedule(&ev)
		}
		p.Add(ev, err)
	}
	e.settle(w, r, p, o, nil)
}

// settle publishes the parcel and answers. single is the body when it held one event.
func (e *Edge) settle(w http.ResponseWriter, r *http.Request, p *edge.Parcel, o options, single []byte) {
	if err := p.Publish(e.bus, o.timeout); err != nil {
		p.Cancel()
		edge.WriteProblem(w, r, err)
		return
	}
	receipts := p.Wait()
	defer p.Forget()
	if single != nil {
		if err := receipts[0].Err; err != nil && err.Reason == autobus.ReasonDataUnreadable && !json.Valid(single) {
			// A body that is no JSON at all was unreadable before there was an event to speak of.
			body := *err
			body.Reason = autobus.ReasonBodyUnreadable
			edge.WriteProblem(w, r, &body)
			return
		}
	}
	writeResults(w, p, receipts)
}
