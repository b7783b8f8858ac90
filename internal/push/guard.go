// SPDX-License-Identifier: Apache-2.0

package push

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"syscall"
	"time"

	"github.com/autobus-io/autobus"
)

// lookupTime bounds the look at a name when a subscription is made.
const lookupTime = 3 * time.Second

// guard says which addresses may be reached.
type guard struct {
	allow []netip.Prefix
	inner []netip.Prefix
}

// newGuard refuses what is not on the public internet, unless it is allowed. The ranges beyond those that netip knows
// are carriers' own, benchmarks', documentation, reserved, and the ways to write an IPv4 address as one of IPv6.
func newGuard(allow []netip.Prefix) guard {
	g := guard{allow: allow}
	for _, p := range []string{"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24",
		"198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4", "::/96", "64:ff9b::/96", "64:ff9b:1::/48",
		"100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "fec0::/10"} {
		g.inner = append(g.inner, netip.MustParsePrefix(p))
	}
	return g
}

func (g guard) allows(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	in := func(p netip.Prefix) bool { return p.Contains(ip) }
	if slices.ContainsFunc(g.allow, in) {
		return true
	}
	return ip.IsGlobalUnicast() && !ip.IsPrivate() && !slices.ContainsFunc(g.inner, in)
}

// addressError is a refusal to dial.
type addressError struct{ ip netip.Addr }

func (e *addressError) Error() string {
	return fmt.Sprintf("the address %s is not on the public internet and not allowed", e.ip)
}

// control is asked by the dialer for each address, after names were resolved and before anything is sent.
func (g guard) control(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	if !g.allows(at.Addr()) {
		return &addressError{at.Addr()}
	}
	return nil
}

// check refuses a URL that leads to an address that is not allowed, as far as that can be known now: a name that
// cannot be looked up may be there later, and is judged whenever it is dialled.
func (g guard) check(ctx context.Context, raw string) *autobus.Error {
	u, err := url.Parse(raw)
	if err != nil {
		return autobus.NewError(autobus.ReasonSubscriptionInvalid, "delivery.push.url is no URL")
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname())
	if err != nil {
		return nil
	}
	for _, ip := range ips {
		if !g.allows(ip) {
			return autobus.NewError(autobus.ReasonSubscriptionInvalid,
				"delivery.push.url: %s leads to the address %s, which is not on the public internet and not allowed",
				u.Hostname(), ip.Unmap()).
				WithHint("Who operates the bus can allow its network: push.allow in the configuration.")
		}
	}
	return nil
}
