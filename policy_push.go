// SPDX-License-Identifier: Apache-2.0

package autobus

import (
	"net/netip"
	"net/url"
	"strconv"
	"time"
)

// PolicyDelivery says how events reach whoever handles them. The zero value: workers come and take them.
type PolicyDelivery struct {
	Push *Push `json:"push,omitempty"` // the bus sends them to an HTTP endpoint
}

// Push is an HTTP endpoint as a consumer. The bus posts to it, at most Policy.Window events at a time from each
// instance, and waits Policy.AckWait for the answer.
type Push struct {
	URL   string     `json:"url"`             // https; http to this machine only; without user, password and fragment
	Batch *PushBatch `json:"batch,omitempty"` // several events in a request; absent = one, in CloudEvents binary mode

	// SecretFile is the name of a file, in the folder that the instances are configured with, of the secrets that sign
	// requests by Standard Webhooks. Empty = they are not signed.
	SecretFile string `json:"secret_file,omitempty"`

	// Handshake says that nothing is sent before the endpoint allowed it by the CloudEvents webhook handshake. Without
	// it only an endpoint that answers it is held to what it says.
	Handshake bool `json:"handshake,omitempty"`
}

// PushBatch says when a request is full: at whichever limit is reached first. One event always fits.
type PushBatch struct {
	Events int      `json:"events,omitempty"` // at most what the window holds; default DefaultBatchEvents, or the window
	Bytes  int      `json:"bytes,omitempty"`  // of events, as Event.Size counts; default DefaultBatchBytes
	Wait   Duration `json:"wait,omitempty"`   // of the first event for others, at most 1m; default DefaultBatchWait
}

// Bounds of a Push.
const (
	maxURLBytes        = 2 << 10
	maxSecretFileBytes = 255
	maxBatchWait       = Duration(time.Minute)
)

func (d PolicyDelivery) check(window Window) *Error {
	p := d.Push
	if p == nil {
		return nil
	}
	u, err := url.Parse(p.URL)
	switch {
	case p.URL == "":
		return invalidPolicy("delivery.push.url is missing")
	case len(p.URL) > maxURLBytes:
		return invalidPolicy("delivery.push.url has %d bytes, at most %d are allowed", len(p.URL), maxURLBytes)
	case err != nil, u.Hostname() == "", u.Opaque != "", !validPort(u.Port()):
		return invalidPolicy("delivery.push.url is no URL").WithHint("Write it as https://shop.example/events.")
	case u.User != nil:
		return invalidPolicy("delivery.push.url has a user or a password in it, which everybody would see who looks").
			WithHint("Let the endpoint check signatures: secret_file.")
	case u.Fragment != "":
		return invalidPolicy("delivery.push.url has a fragment, which is never sent")
	case u.Scheme != "https" && (u.Scheme != "http" || !loopbackHost(u.Hostname())):
		return invalidPolicy("delivery.push.url is %s, not https", clip(u.Scheme+"://"+u.Host)).
			WithHint("Only an endpoint on the same machine, such as http://127.0.0.1:8080, goes without TLS.")
	case len(p.SecretFile) > maxSecretFileBytes:
		return invalidPolicy("delivery.push.secret_file has %d bytes, at most %d are allowed", len(p.SecretFile),
			maxSecretFileBytes)
	case p.Batch != nil:
		return p.Batch.check(window)
	}
	return nil
}

func (b *PushBatch) check(window Window) *Error {
	switch {
	case b.Events < 0 || b.Events > MaxWindowEvents:
		return invalidPolicy("delivery.push.batch.events is %d, not 1 to %d", b.Events, MaxWindowEvents)
	case b.Events > window.Events:
		return invalidPolicy("delivery.push.batch.events is %d, and the window holds %d", b.Events, window.Events).
			WithHint("Raise the window: it is what all requests together hold.")
	case b.Bytes < 0 || b.Bytes > MaxWindowBytes:
		return invalidPolicy("delivery.push.batch.bytes is %d, not 1 to %d", b.Bytes, MaxWindowBytes)
	case b.Wait < 0 || b.Wait > maxBatchWait:
		return invalidPolicy("delivery.push.batch.wait is %s, not 0s to %s", b.Wait, maxBatchWait)
	}
	return nil
}

// withDefaults fills in what a batch does not say.
func (d PolicyDelivery) withDefaults(window Window) PolicyDelivery {
	if d.Push == nil || d.Push.Batch == nil {
		return d
	}
	push, batch := *d.Push, *d.Push.Batch
	batch.Events = orDefault(batch.Events, min(DefaultBatchEvents, window.Events))
	batch.Bytes = orDefault(batch.Bytes, DefaultBatchBytes)
	batch.Wait = orDefault(batch.Wait, Duration(DefaultBatchWait))
	push.Batch = &batch
	d.Push = &push
	return d
}

// validPort reports whether a URL's port, or that of its scheme, can be dialled; url.Parse takes any number.
func validPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return port == "" || err == nil && n > 0
}

func loopbackHost(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}
