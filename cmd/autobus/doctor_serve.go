// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/doctor"
	"github.com/autobus-io/autobus/internal/kafka"
	"github.com/autobus-io/autobus/spec"
)

// lookAtServe looks at what serve is started with, whether an instance runs or not.
func (d *doctorFlags) lookAtServe(ctx context.Context) error {
	cfg, p, err := loadConfig(d.config, nil)
	if err != nil {
		return err
	}
	s := cfg.settings(d.app, p)
	d.faults(p)
	if s.tls != nil {
		d.certificate(s.tls)
	}
	d.specs(cfg.Specs, p)
	token, err := d.app.readToken()
	if err != nil {
		return err
	}
	if s.peers != nil {
		// As another instance would ask: with no grant at all, which is enough for the status.
		if d.peerToken, err = s.peers.Token("doctor", autobus.Principal{Name: "doctor"}); err != nil {
			return err
		}
	}
	if p.sound("listen") {
		d.servePort(ctx, cfg, s, cmp.Or(token, d.peerToken))
	}
	if len(cfg.Kafka.Brokers) == 0 || !p.sound("kafka.brokers", "kafka.tls", "kafka.tls.ca_file", "kafka.tls.cert_file",
		"kafka.sasl", "kafka.sasl.mechanism", "kafka.sasl.user", "kafka.sasl.password_file") {
		d.skipped(doctor.CheckBrokers, "cluster", "the configuration does not say how to reach it", "mend its faults first")
		return nil
	}
	return d.serveCluster(ctx, s)
}

// faults makes a finding of each fault of the configuration.
func (d *doctorFlags) faults(p *problems) {
	p.sort()
	for _, f := range p.list {
		d.problem(doctor.CheckConfig, f.text, f.message, cmp.Or(f.hint, "mend the file"))
	}
	if len(p.list) == 0 {
		d.ok(doctor.CheckConfig, d.config, "every key is known and every value can be used")
	}
}

func (d *doctorFlags) certificate(c *tls.Config) {
	leaf, err := x509.ParseCertificate(c.Certificates[0].Certificate[0])
	if err != nil {
		d.problem(doctor.CheckConfig, "tls.cert_file", err.Error(), "it must be a certificate in PEM")
		return
	}
	d.add(doctor.Certificate("tls.cert_file", leaf.NotBefore, leaf.NotAfter, time.Now()))
}

// specs parses the folder that an instance would push at its start.
func (d *doctorFlags) specs(dir string, p *problems) {
	if dir == "" || !p.sound("specs") {
		return
	}
	files, err := spec.ReadDir(dir)
	if err == nil {
		_, err = spec.Parse(files)
	}
	if faults, ok := errors.AsType[spec.Problems](err); ok {
		for _, f := range faults {
			d.problem(doctor.CheckConfig, dir, f.String(), cmp.Or(f.Hint, "mend the file"))
		}
		return
	}
	if err != nil {
		d.problem(doctor.CheckConfig, dir, "the specs cannot be read: "+err.Error(), "check who may read the folder")
		return
	}
	d.ok(doctor.CheckConfig, dir, "the specs can be used")
}

// servePort looks who listens where the instance would.
func (d *doctorFlags) servePort(ctx context.Context, cfg *config, s settings, token string) {
	taken, by, err := doctor.Taken(ctx, cfg.Listen)
	switch {
	case err != nil:
		d.problem(doctor.CheckPorts, cfg.Listen, "this machine cannot listen there: "+err.Error(),
			"set listen to an address of this machine and a port that the bus may use")
		return
	case !taken:
		d.ok(doctor.CheckPorts, cfg.Listen, "free: no instance runs here")
		return
	}
	host, port, err := net.SplitHostPort(cfg.Listen)
	if err != nil {
		return
	}
	if everywhere(host) {
		host = "127.0.0.1"
	}
	c, err := newAPI(schemeOf(s.tls)+"://"+net.JoinHostPort(host, port), token)
	if err != nil {
		return
	}
	defer c.close()
	if s.tls != nil {
		c.http.Transport.(*http.Transport).TLSClientConfig = onlyItself(s.tls)
	}
	if d.ask(ctx, c, cfg.Listen) == nobody {
		d.problem(doctor.CheckPorts, cfg.Listen, "taken by "+someone(by)+
			", which is no bus, or one with another certificate", "stop it, or set another listen")
		return
	}
	d.ok(doctor.CheckPorts, cfg.Listen, "taken by a bus, "+someone(by))
}

// onlyItself trusts the very certificate of the configuration, by the first name it has: the question is whether the
// instance at this address is the one that was started with it.
func onlyItself(c *tls.Config) *tls.Config {
	roots := x509.NewCertPool()
	out := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	leaf, err := x509.ParseCertificate(c.Certificates[0].Certificate[0])
	if err != nil {
		return out
	}
	roots.AddCert(leaf)
	switch {
	case len(leaf.DNSNames) > 0:
		out.ServerName = leaf.DNSNames[0]
	case len(leaf.IPAddresses) > 0:
		out.ServerName = leaf.IPAddresses[0].String()
	}
	return out
}

// serveCluster looks at the brokers of the configuration one by one, then at the cluster, then at its instances. These
// are never shown a token of the person's: their addresses are what somebody said to Kafka.
func (d *doctorFlags) serveCluster(ctx context.Context, s settings) error {
	d.bootstrap(ctx, s.kafka.Brokers)
	k := s.kafka
	k.ClientID, k.Logger = "autobus-doctor", slog.New(slog.DiscardHandler)
	log, err := kafka.Open(ctx, k)
	if err != nil {
		d.unreachable = true
		e := asError(err)
		d.problem(doctor.CheckBrokers, "cluster", e.Detail, cmp.Or(e.NextStep(),
			"check kafka.brokers, kafka.tls and kafka.sasl"))
		return nil
	}
	peers := d.cluster(ctx, doctor.Target{Log: log, Init: "autobus cluster init --config " + d.config})
	d.add(doctor.Twins(peers)...)
	d.peers(ctx, s, peers)
	return nil
}

// bootstrap connects to each address that the configuration names. One of several that does not answer is bad luck
// waiting: on the day when the others are down nothing is found.
func (d *doctorFlags) bootstrap(ctx context.Context, brokers []string) {
	var errs []doctor.Finding
	for _, addr := range brokers {
		connect, cancel := context.WithTimeout(ctx, askTimeout)
		conn, err := new(net.Dialer).DialContext(connect, "tcp", addr)
		cancel()
		if err == nil {
			_ = conn.Close()
			continue
		}
		errs = append(errs, doctor.Finding{Severity: doctor.Warning, Check: doctor.CheckBrokers,
			Where: "kafka.brokers " + addr, What: "does not answer: " + err.Error(),
			Fix: "start the broker, open the way to it, or take the address out"})
	}
	if len(errs) == len(brokers) {
		for i := range errs {
			errs[i].Severity = doctor.Problem
		}
	}
	d.add(errs...)
}

// peers asks the other instances at the addresses at which they say to be reached.
func (d *doctorFlags) peers(ctx context.Context, s settings, peers []doctor.Peer) {
	for _, p := range peers {
		if _, asked := d.versions[p.Name]; asked && p.Name == s.instance {
			continue
		}
		c, err := newAPI(schemeOf(s.peerTLS)+"://"+p.Address, d.peerToken)
		if err != nil {
			d.problem(doctor.CheckInstance, "instance "+p.Name, "its address "+p.Address+" cannot be called",
				"set its advertise to host:port")
			continue
		}
		if s.peerTLS != nil {
			c.http.Transport.(*http.Transport).TLSClientConfig = s.peerTLS
		}
		if d.ask(ctx, c, "instance "+p.Name) == nobody {
			d.problem(doctor.CheckInstance, "instance "+p.Name, "does not answer at "+p.Address+
				", where it says that others reach it", "mend its advertise, peer_ca_file, or the way to it; "+
				"one that has just ended is forgotten within a minute")
		}
		c.close()
	}
	if s.peers == nil && len(peers) > 1 {
		var names []string
		for _, p := range peers {
			names = append(names, p.Name)
		}
		slices.Sort(names)
		d.problem(doctor.CheckConfig, d.config, "several instances work on this cluster without peer_secret_file: a worker "+
			"gets only what its own has", "set peer_secret_file to one secret for all of them")
	}
}
