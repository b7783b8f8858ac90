// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/spec"
)

// prepareReply takes a reply through the steps of prepare. It goes to the inbox that the request named and never to a
// topic of its own; who may read the requests may answer them.
func (p *publish) prepareReply(ctx context.Context, known bool, i int, request string) *autobus.Error {
	e := &p.batch.Events[i]
	switch _, asks := e.Ext(autobus.ExtReplyTo); {
	case asks:
		return autobus.NewError(autobus.ReasonTypeInvalid, "%q names replies, which nobody can be asked for",
			clipName(e.Type)).WithHint("Ask for %s.", clipName(request))
	case !known:
		return autobus.NewError(autobus.ReasonUnauthenticated, "nobody is known to reply")
	case !p.who.May(autobus.VerbSubscribe, request):
		return autobus.NewError(autobus.ReasonForbidden, "%s has no grant to serve %q", p.who.Name, request)
	}
	_, t, err := p.bus.find(ctx, p.who, request, p.barrier)
	if err != nil {
		return err
	}
	if err := spec.CheckReply(t, e); err != nil {
		return err
	}
	to, err := p.bus.replies.addressOf(ctx, e)
	if err != nil {
		return err
	}
	if err := p.nameResponder(e, request); err != nil {
		return err
	}
	id, _ := e.Ext(autobus.ExtCausationID)
	e.Key = []byte(id)
	if err := p.admit(e, i); err != nil {
		return err
	}
	return p.stampAdmitted(item{index: i, route: p.bus.replies.route(e.Type), to: &to}, nil, e)
}

// addressOf reads where a reply goes.
func (rs *replies) addressOf(ctx context.Context, e *autobus.Event) (to address, err *autobus.Error) {
	text, _ := e.Ext(autobus.ExtTo)
	id, _ := e.Ext(autobus.ExtCausationID)
	switch {
	case text == "":
		return to, autobus.NewError(autobus.ReasonEventInvalid, "the reply has no extension %s", autobus.ExtTo).
			WithHint("It is the replyto of the request.")
	case id == "" || len(id) > autobus.MaxIDBytes:
		return to, autobus.NewError(autobus.ReasonEventInvalid, "the extension %s of the reply is not the id of a request",
			autobus.ExtCausationID)
	}
	sign, bad := rs.sign(ctx, false)
	if bad != nil {
		return to, autobus.AsError(bad)
	}
	n, ok := int32(0), false
	if sign != nil {
		to, ok = sign.read(autobus.Address(text))
	}
	if ok {
		if n, bad = rs.open(ctx); bad != nil {
			return to, autobus.AsError(bad)
		}
	}
	if !ok || to.partition >= n {
		return to, autobus.NewError(autobus.ReasonReplyAddress, "the bus never gave that reply address")
	}
	return to, nil
}

// nameResponder sees to it that a reply says whose it is, by the subscription: the responder's word counts if it may
// be a worker of that one, and is not needed where it can only be one.
func (p *publish) nameResponder(e *autobus.Event, request string) *autobus.Error {
	name, said := e.Ext(autobus.ExtResponder)
	if said {
		if !autobus.ValidSubscription(name) || !p.who.May(autobus.VerbSubscribe, name) {
			return autobus.NewError(autobus.ReasonForbidden, "%s may not reply as a worker of %q", p.who.Name, clipName(name))
		}
		return nil
	}
	may := slices.DeleteFunc(slices.Clone(p.bus.responders.of(request)), func(name string) bool {
		return !p.who.May(autobus.VerbSubscribe, name)
	})
	if len(may) == 1 {
		e.SetExt(autobus.ExtResponder, may[0])
	}
	return nil
}

// route is that of a type of replies.
func (rs *replies) route(typ string) *route {
	if r, ok := rs.routes.Load(typ); ok {
		return r.(*route)
	}
	r, _ := rs.routes.LoadOrStore(typ, newRoute(control.Route{Type: typ, Topic: repliesTopic, Partitions: 1,
		MaxEventBytes: autobus.MaxEventBytes}))
	return r.(*route)
}

func inMillis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
