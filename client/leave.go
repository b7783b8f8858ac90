// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"slices"
	"time"
)

// drop forgets an attachment that is over.
func (s *subscription) drop(a *attachment) {
	if s.current == a {
		s.current = nil
		s.isOpen.Store(false)
	}
	s.old = slices.DeleteFunc(s.old, func(o *attachment) bool { return o == a })
	s.client.leases.drop(a)
	s.client.pool.leave(a.conn, a)
}

// leave says goodbye, or that the worker died, and waits until the gateway took note. What comes meanwhile is not
// handed out, unless its leases outlive the goodbye.
func (s *subscription) leave(ctx context.Context, died bool) {
	s.isOpen.Store(false)
	all := slices.Clone(s.old)
	if s.current != nil {
		all = append(all, s.current)
	}
	waiting := map[*attachment]bool{}
	for _, a := range all {
		switch {
		case s.tail != nil:
			s.drop(a) // the connection says goodbye itself
		case a.conn.bye(a, died):
			waiting[a] = true
		default:
			s.drop(a)
		}
	}
	timer := time.NewTimer(leaveTime)
	defer timer.Stop()
	for len(waiting) > 0 {
		it, ok := s.inbox.next()
		if !ok {
			select {
			case <-s.inbox.wake:
			case <-timer.C:
				for a := range waiting {
					a.conn.cut(errNoAnswer)
					s.drop(a)
				}
				return
			}
			continue
		}
		switch it.what {
		case gone, left, ended:
			delete(waiting, it.by)
			s.drop(it.by)
		case sought:
			if it.err == nil {
				s.client.pool.leave(it.by.conn, it.by)
			}
		case deliveries:
			if s.s.Detached {
				s.handle(ctx, it.ds)
			}
		default: // what comes now is for nobody
		}
	}
}

// bye sends the goodbye of a session. False: the connection is over.
func (n *conn) bye(a *attachment, died bool) bool {
	return n.ask(&outgoing{Op: "unsubscribe", Subscription: a.sub.s.Name, Died: died}, a)
}
