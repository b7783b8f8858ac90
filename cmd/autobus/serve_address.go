// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/autobus-io/autobus"
)

// listen binds the API's address. A taken one is told apart from the broker's.
func listen(addr string) (net.Listener, error) {
	ln, err := net.Listen("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, &portError{autobus.NewError(autobus.ReasonPortTaken, "another process listens on %s", addr).
			WithCause(err)}
	}
	if err != nil {
		return nil, autobus.NewError(autobus.ReasonConfigInvalid, "cannot listen on %s: %s", addr, err).
			WithHint("Give an address of this machine and a port that you may use.").WithCause(err)
	}
	return ln, nil
}

// portError says that the API's own port is the one that is taken.
type portError struct{ taken *autobus.Error }

func (e *portError) Error() string { return e.taken.Error() }

func (e *portError) Unwrap() error { return e.taken }

func (in *instance) port() string {
	_, port, err := net.SplitHostPort(in.listener.Addr().String())
	if err != nil {
		return ""
	}
	return port
}

// url is the API's address on this machine, by number: a name may lead to another address than the one that is bound.
func (in *instance) url() string {
	return fmt.Sprintf("%s://127.0.0.1:%s", schemeOf(in.settings.tls), in.port())
}

// schemeOf is the scheme of an address that is served, or called, with c; nil = without TLS.
func schemeOf(c *tls.Config) string {
	if c == nil {
		return "http"
	}
	return "https"
}

// advertised is where other instances reach this one.
func (in *instance) advertised() string {
	if in.settings.advertise != "" {
		return in.settings.advertise
	}
	host, _, err := net.SplitHostPort(in.settings.listen)
	if err != nil || everywhere(host) {
		host = in.settings.instance
	}
	return net.JoinHostPort(host, in.port())
}
