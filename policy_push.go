// SPDX-License-Identifier: Apache-2.0

package autobus

import (
	"net/netip"
	"net/url"
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

// PushBatch says how many events one request carries at most.
type PushBatch struct {
	Events int `json:"events"`
}

// Bounds of a Push.
const (
	maxURLBytes        = 2 << 10
	maxSecretFileBytes = 255
)

func (d PolicyDelivery) check() *Error {
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
	case err != nil, u.Hostname() == "", u.Opaque != "":
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
	case p.Batch != nil && (p.Batch.Events < 1 || p.Batch.Events > MaxWindowEvents):
		return invalidPolicy("delivery.push.batch.events is %d, not 1 to %d", p.Batch.Events, MaxWindowEvents)
	}
	return nil
}

func loopbackHost(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}
