// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/tls"
	"net"
	"strings"

	"github.com/autobus-io/autobus/internal/peer"
)

// checkPeers looks at what other instances are told.
func (c *config) checkPeers(p *problems) {
	if c.Instance != "" && !instanceName(c.Instance) {
		p.at("instance", "%q is no name of an instance", c.Instance).
			next("use letters, digits, dot, hyphen and underscore, at most %d", maxInstance)
	}
	if c.Advertise != "" {
		host, ok := p.hostPort("advertise", c.Advertise)
		if ok && (everywhere(host) || strings.HasSuffix(c.Advertise, ":0") || strings.ContainsAny(host, "/ ")) {
			p.at("advertise", "nobody can be reached at %s", c.Advertise).
				next("name the host and the port at which the other instances find this one")
		}
	}
	if c.PeerCAFile != "" && c.PeerSecretFile == "" && p.sound("peer_secret_file") {
		p.at("peer_ca_file", "other instances are called only with a secret").next("set peer_secret_file")
	}
}

const maxInstance = 100

// instanceName reports whether leases and client ids can carry the name.
func instanceName(s string) bool {
	return len(s) <= maxInstance && !strings.ContainsFunc(s, func(r rune) bool {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		return !letter && (r < '0' || r > '9') && !strings.ContainsRune(".-_", r)
	})
}

// everywhere reports whether a host to listen at is every interface, which is none to call.
func everywhere(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || ip != nil && ip.IsUnspecified()
}

// peerKeys reads the secret of the instances; nil = there is none.
func (c *config) peerKeys(p *problems) *peer.Keys {
	if c.PeerSecretFile == "" {
		return nil
	}
	secret := readSecret(p, "peer_secret_file", c.PeerSecretFile)
	if len(secret) < peer.MinSecret {
		p.at("peer_secret_file", "the secret has %d bytes", len(secret)).
			next("write at least %d random ones, such as those of openssl rand -hex 32", peer.MinSecret)
		return nil
	}
	keys := peer.NewKeys(secret)
	return &keys
}

// peerTLS is how other instances are called: as this one is.
func (c *config) peerTLS(p *problems) *tls.Config {
	if c.TLS.CertFile == "" {
		return nil
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: readCAs(p, "peer_ca_file", c.PeerCAFile)}
}
