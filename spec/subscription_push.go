// SPDX-License-Identifier: Apache-2.0

package spec

import "github.com/autobus-io/autobus"

// delivery reads how events reach who handles them.
func (r *parser) delivery(at place) (d autobus.PolicyDelivery) {
	for _, k := range r.keysOf(at, []string{"push"}) {
		d.Push = r.push(at.child(k))
	}
	return d
}

func (r *parser) push(at place) *autobus.Push {
	before := len(r.problems)
	var p autobus.Push
	for _, k := range r.keysOf(at, []string{"url", "batch", "secret-file", "handshake"}) {
		switch in := at.child(k); k {
		case "url":
			p.URL = r.text(in)
		case "secret-file":
			p.SecretFile = r.text(in)
		case "handshake":
			p.Handshake = r.yes(in)
		case "batch":
			p.Batch = &autobus.PushBatch{}
			for _, b := range r.keysOf(in, []string{"events", "bytes", "wait"}) {
				switch of := in.child(b); b {
				case "events":
					p.Batch.Events = r.number(of, 1, autobus.MaxWindowEvents)
				case "bytes":
					p.Batch.Bytes = r.number(of, 1, autobus.MaxWindowBytes)
				case "wait":
					p.Batch.Wait = r.duration(of)
				}
			}
		}
	}
	if len(r.problems) > before {
		return nil
	}
	return &p
}
