// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"slices"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/ipc"
)

// found is what was replied to a request, as far as it was read from the log.
type found struct {
	token      token
	replies    []*ipc.Reply
	got        map[string]bool
	duplicates int
}

func newFound(t token) *found { return &found{token: t, got: map[string]bool{}} }

// take keeps a reply to the request, the first of each responder.
func (f *found) take(d *autobus.Delivery) {
	id, _ := d.Ext(autobus.ExtCausationID)
	if id != f.token.ID || d.Type != f.token.Type+autobus.ReplySuffix {
		return // to another request of the same principal
	}
	r := ipc.ReplyOf(&d.Event)
	if f.got[r.Responder] {
		f.duplicates++
		return
	}
	f.got[r.Responder] = true
	if f.token.Replies == ipc.All || len(f.replies) < f.token.Replies {
		f.replies = append(f.replies, r)
	}
}

// enough reports whether nobody else is waited for.
func (f *found) enough() bool {
	if f.token.Replies > 0 && len(f.replies) >= f.token.Replies {
		return true
	}
	return len(f.token.Responders) > 0 && len(f.missing()) == 0
}

func (f *found) missing() []string {
	return slices.DeleteFunc(slices.Clone(f.token.Responders), func(name string) bool { return f.got[name] })
}

func (f *found) result() ipc.Result {
	return ipc.Result{Got: len(f.replies), Missing: f.missing(), Duplicates: f.duplicates}
}
