// SPDX-License-Identifier: Apache-2.0

package client

import (
	"cmp"
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/autobus-io/autobus"
)

// Defaults of a Config.
const (
	DefaultResendFor  = 30 * time.Second
	DefaultMinBackoff = 100 * time.Millisecond
	DefaultMaxBackoff = 10 * time.Second
	DefaultBytes      = 8 << 20
)

// TokenFunc gives the token to connect with, and when it expires; the zero time means that it does not. It is called
// before the first connection, when a gateway refuses the token, and before it expires: open connections then change to
// the new one, which has to be of the same principal.
type TokenFunc func(ctx context.Context) (token string, expires time.Time, err error)

// Config says which gateway to talk to, and how. Only URL is required.
type Config struct {
	// URL is the gateway's address, such as https://bus.example.com or http://127.0.0.1:7070. Several, separated by
	// commas, are tried in turn when one goes down or cannot be reached; after a mere break the client comes back to the
	// one it had, which remembers the ids of what was in flight. /v1/ws is added where there is no path.
	URL string

	Token     string    // who the service is; empty where the gateway asks for none, as in dev
	TokenFunc TokenFunc // in place of Token: one that expires

	TLS        *tls.Config  // of https; nil = the system's authorities
	HTTPClient *http.Client // opens the connections, in place of TLS and Dial; must speak HTTP/1.1
	Dial       func(ctx context.Context, network, addr string) (net.Conn, error)

	Service string // the service's name and version, for the gateway's log
	Version string
	Logger  *slog.Logger // of connections made, missed and lost; nil = slog.Default()

	// ResendFor is how long a batch is kept when its outcome does not come, from Publish on. Default 30 s.
	ResendFor time.Duration
	// MinBackoff and MaxBackoff bound the wait before the next attempt to connect: a random time up to a bound that
	// doubles from one to the other. Default 100 ms and 10 s.
	MinBackoff, MaxBackoff time.Duration
	// MaxInFlightBytes is how much may be published and unanswered; beyond it Publish waits. One batch always fits.
	// Default 8 MiB.
	MaxInFlightBytes int
}

// check fills in the defaults and returns the addresses.
func (c *Config) check() ([]string, *autobus.Error) {
	c.ResendFor = cmp.Or(c.ResendFor, DefaultResendFor)
	c.MinBackoff = cmp.Or(c.MinBackoff, DefaultMinBackoff)
	c.MaxBackoff = cmp.Or(c.MaxBackoff, DefaultMaxBackoff)
	c.MaxInFlightBytes = cmp.Or(c.MaxInFlightBytes, DefaultBytes)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	switch {
	case c.ResendFor < 0, c.MinBackoff < 0, c.MaxBackoff < c.MinBackoff, c.MaxInFlightBytes < 0:
		return nil, invalid("a bound of the client is negative, or MaxBackoff is below MinBackoff")
	case c.Token != "" && c.TokenFunc != nil:
		return nil, invalid("the client has a Token and a TokenFunc; it takes one of them")
	case c.HTTPClient != nil && (c.TLS != nil || c.Dial != nil):
		return nil, invalid("TLS and Dial belong to the HTTPClient where there is one")
	}
	if c.HTTPClient == nil {
		t := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: c.TLS, DialContext: c.Dial,
			DisableKeepAlives: true}
		if c.Dial == nil {
			t.DialContext = (&net.Dialer{Timeout: dialTime}).DialContext
		}
		c.HTTPClient = &http.Client{Transport: t}
	}
	var urls []string
	for s := range strings.SplitSeq(c.URL, ",") {
		u, err := address(strings.TrimSpace(s))
		if err != nil {
			return nil, err
		}
		urls = append(urls, u)
	}
	return urls, nil
}

func address(s string) (string, *autobus.Error) {
	u, err := url.Parse(s)
	if err != nil {
		return "", invalid("%q is no URL", s).WithCause(err)
	}
	switch u.Scheme {
	case "http", "https", "ws", "wss":
	default:
		return "", invalid("%q is not the URL of a gateway, such as https://bus.example.com or http://localhost:7070", s)
	}
	if u.Host == "" {
		return "", invalid("%q names no host", s)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/v1/ws"
	}
	return u.String(), nil
}

func (c *Config) userAgent() string {
	agent := "autobus-go"
	if c.Service != "" {
		agent = strings.TrimSuffix(c.Service+"/"+c.Version, "/") + " " + agent
	}
	return agent
}

func invalid(format string, args ...any) *autobus.Error {
	return autobus.NewError(autobus.ReasonConfigInvalid, format, args...).WithHint("Mend the Config of client.New.")
}
