// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"time"

	"github.com/autobus-io/autobus/internal/kafka"
)

// config is the configuration of serve. Its comments are the reference, docs/reference/config.md: the first sentence
// of a field's comment says what it is, the rest why to change it. A path is relative to the folder the program is
// started in.
type config struct {
	// Address the API listens on, host:port. An empty host or 0.0.0.0 means every interface; beyond loopback, tls is
	// required (or insecure: true).
	Listen string `yaml:"listen"`
	// Certificate of the listener.
	TLS tlsConfig `yaml:"tls"`
	// Serve without TLS beyond loopback. Tokens and events then cross the network readable. For a network that
	// encrypts by itself only; every start and /v1/status say so.
	Insecure bool `yaml:"insecure"`
	// Cluster the bus is bound to.
	Kafka kafkaConfig `yaml:"kafka"`
	// Folder of AsyncAPI specs that are pushed when the instance starts, unless they break who works by those in force.
	// Empty means that the specs in force stay as they are.
	Specs string `yaml:"specs"`
	// Files of sinks that run within the instance, see docs/reference/sinks.md. Several instances may name the same ones:
	// one of them writes, another takes over when it is gone.
	Sinks []string `yaml:"sinks"`
	// Name of this instance in logs, metrics, leases and /v1/status: letters, digits, dot, hyphen and underscore, another
	// one for each instance on the cluster. Empty means the host's name.
	Instance string `yaml:"instance"`
	// Address under which other instances reach this one, host:port. Empty means the host of listen, or the instance's
	// name where that is every interface, with the port of listen.
	Advertise string `yaml:"advertise"`
	// File of a secret that all instances on the cluster share, at least 16 bytes, by which they trust each other; a
	// newline at its end is ignored. With it any instance serves any worker: behind a balancer it is needed. Empty means
	// that a worker gets only what its own instance has.
	PeerSecretFile string `yaml:"peer_secret_file"`
	// File of the certificate authorities that sign the other instances' certificates, PEM, where this one has a
	// certificate. Empty means the system's.
	PeerCAFile string `yaml:"peer_ca_file"`
	// The schema registry, which is also below /schema-registry of the API.
	SchemaRegistry schemaRegistryConfig `yaml:"schema_registry"`
	// Bounds of what the instance takes on.
	Limits limitsConfig `yaml:"limits"`
	// What one principal may ask of this instance. Without any quota one service can take all there is from the others.
	Quotas quotasConfig `yaml:"quotas"`
	// Subscriptions whose events the bus sends to HTTP endpoints, see docs/howto/push.md. Give all instances the same.
	Push pushConfig `yaml:"push"`
	// What the instance writes about itself, to stderr.
	Log logConfig `yaml:"log"`
}

type schemaRegistryConfig struct {
	// Address of a port that serves the schema registry and nothing else, host:port, for clients that cannot be given a
	// path; certificate and tokens are those of the API. Empty means that there is none.
	Listen string `yaml:"listen"`
}

type tlsConfig struct {
	// File of the certificate chain, PEM.
	CertFile string `yaml:"cert_file"`
	// File of the private key, PEM.
	KeyFile string `yaml:"key_file"`
}

type kafkaConfig struct {
	// Name of the cluster in routes. cluster init gives it for good, main where the key is empty; an instance that says
	// another one afterwards is refused, because it is probably at the wrong brokers.
	Name string `yaml:"name"`
	// Addresses to find the cluster by, host:port each. Two or three are enough, the others are learned.
	Brokers []string `yaml:"brokers"`
	// Encryption towards the brokers. Without any of its keys the connection is plain.
	TLS kafkaTLSConfig `yaml:"tls"`
	// Who the bus is at the brokers. Without a mechanism it is nobody.
	SASL saslConfig `yaml:"sasl"`
}

type kafkaTLSConfig struct {
	// Use TLS with the system's certificate authorities. The files below imply it.
	Enabled bool `yaml:"enabled"`
	// File of the certificate authorities that sign the brokers' certificates, PEM. Empty means the system's.
	CAFile string `yaml:"ca_file"`
	// File of the client certificate, PEM, where the brokers ask for one.
	CertFile string `yaml:"cert_file"`
	// File of the client certificate's private key, PEM.
	KeyFile string `yaml:"key_file"`
}

type saslConfig struct {
	// One of plain, scram-sha-256, scram-sha-512.
	Mechanism string `yaml:"mechanism"`
	// User name.
	User string `yaml:"user"`
	// File that holds the password; a newline at its end is ignored. The password itself has no key, so that it
	// cannot end up in a repository.
	PasswordFile string `yaml:"password_file"`
}

type limitsConfig struct {
	// Bytes of events that may wait for the brokers, such as 256MiB; beyond it publishing answers capacity. Of one type
	// at most half of it may wait. 0 means 256 MiB or a quarter of the memory limit, whichever is less.
	Buffer size `yaml:"buffer"`
	// How long requests in flight may take to end when the instance stops.
	Drain time.Duration `yaml:"drain"`
}

type quotasConfig struct {
	// Quota of every principal that no entry of principals is for.
	Default quotaConfig `yaml:"default"`
	// Quotas of single principals, in the file only. The first entry that matches counts and replaces the default as a
	// whole: what it leaves away is not limited.
	Principals []principalQuota `yaml:"principals"`
}

type quotaConfig struct {
	// Events that a principal may publish in a second, those against which nothing else speaks; beyond it publishing
	// answers quota. 0 means any number, here and below. Each instance counts for itself: behind a balancer a principal
	// gets up to as many times the quota as there are instances.
	Events number `yaml:"events"`
	// Bytes of those events in a second: data, key and attributes. The last event that begins within the quota may go
	// beyond it, and is waited off.
	Bytes size `yaml:"bytes"`
	// WebSockets, streams, tails and waiting polls that a principal may have open at once; one more answers quota.
	Connections number `yaml:"connections"`
	// How much of events and bytes may come at once, as time at their rate. Longer suits services that publish seldom
	// and much. 0 means 1s.
	Burst time.Duration `yaml:"burst"`
}

type principalQuota struct {
	// Name of the principal, or a pattern such as batch.*, where * stands for one part between dots, at the end for one
	// or more.
	Principal string `yaml:"principal"`
	// As in default.
	Events number `yaml:"events"`
	// As in default.
	Bytes size `yaml:"bytes"`
	// As in default.
	Connections number `yaml:"connections"`
	// As in default.
	Burst time.Duration `yaml:"burst"`
}

type pushConfig struct {
	// Networks of endpoints that are not on the public internet and may be reached nevertheless, such as
	// [10.20.0.0/16, 127.0.0.0/8]. Whoever may manage a subscription can let the bus post to any address in them.
	Allow []string `yaml:"allow"`
	// Folder of the files that subscriptions name as secret_file. Empty means that requests cannot be signed.
	Secrets string `yaml:"secrets"`
	// What the bus calls itself in the CloudEvents webhook handshake, a host's name. Empty means autobus.
	Origin string `yaml:"origin"`
}

type logConfig struct {
	// One of debug, info, warn, error.
	Level string `yaml:"level"`
	// One of text, json.
	Format string `yaml:"format"`
}

func defaultConfig() config {
	return config{
		Listen: "127.0.0.1:7070",
		Limits: limitsConfig{Drain: 20 * time.Second},
		Log:    logConfig{Level: "info", Format: "text"},
	}
}

// clusterName is what a cluster is called whose configuration gives it no name.
const clusterName = "main"

// openKafka gives what the log is opened with. It reads the files the configuration names.
func (c *config) openKafka(p *problems) kafka.Config {
	out := kafka.Config{Name: cmp.Or(c.Kafka.Name, clusterName), Brokers: c.Kafka.Brokers, Buffer: int64(c.Limits.Buffer)}
	out.TLS = c.Kafka.TLS.load(p)
	if s := c.Kafka.SASL; s.Mechanism != "" {
		out.SASL = &kafka.SASL{Mechanism: s.Mechanism, User: s.User}
		out.SASL.Password = readSecret(p, "kafka.sasl.password_file", s.PasswordFile)
	}
	return out
}
