// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/autobus-io/autobus"
)

// route gives the type that a request asks for.
//
// A host is looked up in the table. What names none of it goes to Type only if it was sent to this very address: a
// request for a proxy names a foreign host by intent, and a foreign name in Host may be a browser's whose page had its
// own name lead here.
func (c *Caller) route(r *http.Request) (string, *autobus.Error) {
	host := hostName(r.Host)
	if typ, ok := c.Routes[host]; ok {
		return typ, nil
	}
	if c.Type != "" && r.URL.Host == "" && own(host) {
		return c.Type, nil
	}
	return "", autobus.NewError(autobus.ReasonForbidden, "no route leads to the host %q", clip(host)).
		WithHint("Name it where the bridge is started: --route HOST=TYPE.")
}

// hostName is the name in a Host field, without its port.
func hostName(host string) string {
	return strings.ToLower(strings.TrimSuffix((&url.URL{Host: host}).Hostname(), "."))
}

// own reports whether a host is an address, localhost or none.
func own(host string) bool {
	return host == "" || host == "localhost" || net.ParseIP(host) != nil
}

// admit checks that a client is of an allowed network.
func (c *Caller) admit(r *http.Request) *autobus.Error {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	addr := from.Addr().Unmap()
	switch {
	case err != nil:
	case addr.IsLoopback(), slices.ContainsFunc(c.Clients, func(p netip.Prefix) bool { return p.Contains(addr) }):
		return nil
	}
	return autobus.NewError(autobus.ReasonForbidden, "the bridge does not serve %s", clip(r.RemoteAddr)).
		WithHint("Name the network where the bridge is started: --allow %s.", netip.PrefixFrom(addr, addr.BitLen()))
}

// below reports whether a path is one of the prefixes or below one, as every server understands it. One that servers
// read in different ways, with dots or parameters in its segments, is below none.
func below(path string, prefixes []string) bool {
	if len(prefixes) == 0 {
		return true
	}
	if strings.ContainsAny(path, "\\\x00") || strings.Contains(path, "//") {
		return false
	}
	for segment := range strings.SplitSeq(path, "/") {
		if name, _, _ := strings.Cut(segment, ";"); name == "." || name == ".." {
			return false
		}
	}
	return slices.ContainsFunc(prefixes, func(prefix string) bool {
		prefix = strings.TrimSuffix(prefix, "/")
		return path == prefix || strings.HasPrefix(path, prefix+"/")
	})
}

func clip(s string) string { return strings.ToValidUTF8(s[:min(len(s), 100)], "?") }
