// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
)

// check finds what is wrong with values that are each readable: all of it at once, each at its key.
func (c *config) check(p *problems) {
	c.checkListen(p, "listen", c.Listen)
	if c.SchemaRegistry.Listen != "" {
		c.checkListen(p, "schema_registry.listen", c.SchemaRegistry.Listen)
	}
	p.both("tls.cert_file", c.TLS.CertFile, "tls.key_file", c.TLS.KeyFile)
	c.checkPeers(p)
	if len(c.Kafka.Brokers) == 0 {
		p.at("kafka.brokers", "no broker is named").next("list at least one address, such as [kafka-1:9092]")
	}
	for i, b := range c.Kafka.Brokers {
		p.hostPort("kafka.brokers["+strconv.Itoa(i)+"]", b)
	}
	p.both("kafka.tls.cert_file", c.Kafka.TLS.CertFile, "kafka.tls.key_file", c.Kafka.TLS.KeyFile)
	c.checkSASL(p)
	if c.Specs != "" {
		if info, err := os.Stat(c.Specs); err != nil || !info.IsDir() {
			p.at("specs", "%s is not a folder", c.Specs).next("name the folder of the specs or leave the key away")
		}
	}
	for i, file := range c.Sinks {
		if _, err := os.Stat(file); err != nil {
			p.at("sinks["+strconv.Itoa(i)+"]", "%s", err).next("check the file's name")
		}
	}
	if c.Limits.Buffer != 0 && c.Limits.Buffer < 1<<20 {
		p.at("limits.buffer", "%s is less than one event may need", c.Limits.Buffer).next("give at least 1MiB")
	}
	if c.Limits.Drain < 0 {
		p.at("limits.drain", "%s is negative", c.Limits.Drain).next("give a duration such as 20s")
	}
	c.Quotas.check(p)
	c.Push.check(p)
	p.oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	p.oneOf("log.format", c.Log.Format, "text", "json")
}

func (c *config) checkListen(p *problems, path, addr string) {
	host, ok := p.hostPort(path, addr)
	if ok && !loopback(host) && c.TLS.CertFile == "" && c.TLS.KeyFile == "" && !c.Insecure &&
		p.sound("tls.cert_file", "tls.key_file", "insecure") {
		p.at(path, "%s is reachable beyond this machine, but there is no certificate", addr).
			next("set tls.cert_file and tls.key_file, or insecure: true if the network encrypts by itself")
	}
}

// readCAs reads certificate authorities; nil = the system's.
func readCAs(p *problems, path, file string) *x509.CertPool {
	if file == "" {
		return nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		p.at(path, "%s", err).next("check the file's name and who may read it")
		return nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		p.at(path, "%s holds no certificate", file).next("it must be PEM")
	}
	return pool
}

func (c *config) checkSASL(p *problems) {
	s := c.Kafka.SASL
	if !p.sound("kafka.sasl.mechanism") {
		return
	}
	if s.Mechanism == "" {
		if s.User != "" || s.PasswordFile != "" {
			p.at("kafka.sasl", "user or password without a mechanism").
				next("add mechanism: scram-sha-512, or what the brokers offer")
		}
		return
	}
	p.oneOf("kafka.sasl.mechanism", s.Mechanism, "plain", "scram-sha-256", "scram-sha-512")
	if s.User == "" {
		p.at("kafka.sasl.user", "the mechanism %s needs a user", s.Mechanism).next("add user and password_file")
	}
	if s.PasswordFile == "" {
		p.at("kafka.sasl.password_file", "the mechanism %s needs a password", s.Mechanism).
			next("name a file that holds it")
	}
}

func (p *problems) hostPort(path, value string) (host string, ok bool) {
	host, port, err := net.SplitHostPort(value)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		p.at(path, "%q is not host:port", value).next("write it as host:port, such as localhost:7070")
		return "", false
	}
	return host, true
}

func (p *problems) both(a, aValue, b, bValue string) {
	if !p.sound(a, b) {
		return
	}
	if aValue != "" && bValue == "" {
		p.at(a, "%s is set, %s is not", a, b).next("a certificate needs its key: set both or neither")
	}
	if aValue == "" && bValue != "" {
		p.at(b, "%s is set, %s is not", b, a).next("a key needs its certificate: set both or neither")
	}
}

func (p *problems) oneOf(path, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		p.at(path, "%q is not one of %s", value, strings.Join(allowed, ", ")).
			next("use one of %s", strings.Join(allowed, ", "))
	}
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

func readSecret(p *problems, path, file string) string {
	if file == "" {
		return ""
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		p.at(path, "%s", err).next("check the file's name and who may read it")
		return ""
	}
	return strings.TrimRight(string(raw), "\r\n")
}

// load reads the listener's certificate; nil without one.
func (t tlsConfig) load(p *problems) *tls.Config {
	if t.CertFile == "" || t.KeyFile == "" {
		return nil
	}
	cert, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
	if err != nil {
		p.at("tls", "%s", err).next("check that both files are PEM and belong together")
		return nil
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}}
}

// load reads the files of the connection to the brokers; nil where it is plain.
func (t kafkaTLSConfig) load(p *problems) *tls.Config {
	if !t.Enabled && t.CAFile == "" && t.CertFile == "" {
		return nil
	}
	out := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: readCAs(p, "kafka.tls.ca_file", t.CAFile)}
	if t.CertFile != "" && t.KeyFile != "" {
		cert, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			p.at("kafka.tls.cert_file", "%s", err).next("check that both files are PEM and belong together")
		}
		out.Certificates = []tls.Certificate{cert}
	}
	return out
}
