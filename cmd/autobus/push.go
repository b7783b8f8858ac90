// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"net/netip"
	"os"
	"strconv"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/push"
)

// pushSettings say where events may be pushed.
type pushSettings struct {
	allow   []netip.Prefix
	secrets string
	origin  string
}

// defaultOrigin is what the bus calls itself towards endpoints.
const defaultOrigin = "autobus"

// loopbackNets are the addresses of this machine.
func loopbackNets() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
}

func (c *pushConfig) check(p *problems) {
	for i, text := range c.Allow {
		if prefix, err := netip.ParsePrefix(text); err != nil || prefix != prefix.Masked() {
			p.at("push.allow["+strconv.Itoa(i)+"]", "%q is no network", text).
				next("write it with its first address and the number of its bits, such as 10.20.0.0/16")
		}
	}
	if info, err := os.Stat(c.Secrets); c.Secrets != "" && (err != nil || !info.IsDir()) {
		p.at("push.secrets", "%s is not a folder", c.Secrets).next("name the folder of the secrets or leave the key away")
	}
}

func (c *pushConfig) open() pushSettings {
	s := pushSettings{secrets: c.Secrets, origin: c.Origin}
	for _, text := range c.Allow {
		if prefix, err := netip.ParsePrefix(text); err == nil { // else check has reported it
			s.allow = append(s.allow, prefix)
		}
	}
	return s
}

// newPusher makes the pusher, which is told of every change of a subscription.
func (in *instance) newPusher() *push.Pusher {
	changed := make(chan struct{}, 1)
	in.control.Watch(control.KindSubscription, func(control.Record) {
		select {
		case changed <- struct{}{}:
		default: // it will look anyway
		}
	})
	s := in.settings.push
	return push.New(push.Config{List: in.pushed, Changed: changed, Pause: in.pausePushed, Allow: s.allow,
		Secrets: s.secrets, Origin: cmp.Or(s.origin, defaultOrigin), Agent: "autobus/" + readBuildInfo().Version,
		Logger: in.logger, Metrics: in.metrics})
}

// pushed lists the subscriptions that are to be pushed. One that a newer build wrote is left to newer instances.
func (in *instance) pushed() (out []push.Subscription) {
	for _, rec := range in.control.All(control.KindSubscription) {
		v, err := control.Decode[control.Subscription](rec)
		if err == nil && v.Policy.Delivery.Push != nil && v.Paused == nil {
			out = append(out, push.Subscription{Name: rec.Name, Policy: v.Policy.WithDefaults()})
		}
	}
	return out
}

// pausePushed pauses a subscription whose endpoint wants no more.
func (in *instance) pausePushed(ctx context.Context, name, why string) error {
	who := autobus.Principal{Name: "autobus.push", Grants: []autobus.Grant{{Verb: autobus.VerbManage, Pattern: name}}}
	_, err := in.bus.PauseSubscription(autobus.WithPrincipal(ctx, who), name,
		bus.Surgery{Audit: bus.Audit{Actor: who.Name, Reason: why}})
	return err
}

func (in *instance) pushInfo(name string) (bus.PushInfo, bool) {
	s, ok := in.pusher.Status(name)
	return bus.PushInfo(s), ok
}
