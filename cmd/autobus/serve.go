// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/admin"
	"github.com/autobus-io/autobus/internal/bus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/edge"
	"github.com/autobus-io/autobus/internal/edge/rest"
	"github.com/autobus-io/autobus/internal/edge/rpc"
	"github.com/autobus-io/autobus/internal/edge/ws"
	"github.com/autobus-io/autobus/internal/kafka"
	"github.com/autobus-io/autobus/internal/peer"
	"github.com/autobus-io/autobus/internal/push"
	"github.com/autobus-io/autobus/internal/quota"
	"github.com/autobus-io/autobus/internal/registry"
	"github.com/autobus-io/autobus/ipc"
	"github.com/autobus-io/autobus/spec"
)

// settings are what an instance is made from; dev and serve differ in nothing else.
type settings struct {
	dev       bool // everybody may do everything, types without a spec are accepted, the folder of specs is watched
	instance  string
	advertise string // "" = where it listens, or the instance's name with the listener's port
	listen    string
	schemas   string // where the schema registry listens besides; "" = nowhere
	tls       *tls.Config
	peers     *peer.Keys  // by which instances trust each other; nil = they do not
	peerTLS   *tls.Config // of the others' listeners; nil = they have none
	insecure  bool
	hosts     []string // names the API may be called by; nil = any
	kafka     kafka.Config
	named     bool                  // the name in kafka was chosen: a cluster of another name is the wrong one
	embedded  *kafka.EmbeddedConfig // nil = the brokers of kafka
	specs     string
	builtin   spec.Files
	sinks     []string // files of the sinks that run within the instance
	drain     time.Duration
	quotas    quota.Config
	push      pushSettings
	logger    *slog.Logger
}

// instance is a running bus: the parts of serve.go's wiring, from the log up.
type instance struct {
	settings settings
	logger   *slog.Logger
	metrics  *prometheus.Registry
	listener net.Listener
	schemas  net.Listener // nil = the schema registry has no port of its own
	embedded *kafka.Embedded
	log      *kafka.Log
	control  *control.Log
	registry *registry.Registry
	folder   *registry.Folder
	bus      *bus.Bus
	callers  *ipc.Callers // of those who ask by HTTP
	quotas   *quota.Quotas
	tokens   *admin.Tokens
	pusher   *push.Pusher
	peers    *peer.Pool // nil = the instance works alone
	ready    *admin.Readiness
	started  time.Time

	sinkNames sync.Map // name of a sink -> its file

	core   *stage // what edges stand on: it ends after them
	edges  *stage
	pushes *stage // it ends first: what is under way is settled while everything else works
	failed chan error
}

// start opens everything from the log up and serves. It returns once requests are answered; whether the instance is
// ready for traffic is told apart, by ready. What was opened before an error is closed again.
func start(ctx context.Context, s settings) (in *instance, err error) {
	in = &instance{settings: s, logger: s.logger, metrics: prometheus.NewRegistry(), ready: &admin.Readiness{},
		core: newStage(), edges: newStage(), pushes: newStage(), failed: make(chan error, 1), started: time.Now()}
	defer func() {
		if err != nil {
			err = errors.Join(err, in.stop())
			in = nil
		}
	}()
	in.metrics.MustRegister(
		collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(collectors.MetricsScheduler)),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	// The port comes first: when it is taken, nothing else was touched.
	if in.listener, err = listen(s.listen); err != nil {
		return in, err
	}
	if s.schemas != "" {
		if in.schemas, err = listen(s.schemas); err != nil {
			return in, err
		}
	}
	if err = in.openLog(ctx); err != nil {
		return in, err
	}
	in.run(in.core, "headroom", newHeadroom(func() int64 { return in.log.InFlight().Waiting }).Run)
	if in.control, err = control.Open(ctx, in.log, s.logger); err != nil {
		return in, err
	}
	in.run(in.core, "control", in.control.Run)
	if have := in.control.ClusterName(); s.named && have != s.kafka.Name {
		return in, autobus.NewError(autobus.ReasonConfigInvalid, "kafka.name is %s, but this cluster is called %s",
			s.kafka.Name, have).WithHint("Check kafka.brokers; if they are the right ones, set kafka.name: %s.", have)
	}
	if err = in.openSpecs(ctx); err != nil {
		return in, err
	}
	if err = in.openBus(ctx); err != nil {
		return in, err
	}
	in.run(in.pushes, "push", func(ctx context.Context) error { return in.pusher.Run(ctx, in.bus) })
	in.serve()
	in.runSinks()
	return in, nil
}

func (in *instance) openLog(ctx context.Context) (err error) {
	s := in.settings
	k := s.kafka
	k.Logger, k.Metrics = s.logger, in.metrics
	k.ClientID = kafka.InstanceID(s.instance, in.advertised())
	if s.embedded != nil {
		e := *s.embedded
		e.Logger = s.logger
		if in.embedded, err = kafka.OpenEmbedded(e); err != nil {
			return err
		}
		in.run(in.core, "embedded broker", in.embedded.Run)
		k.Brokers, k.Dial = []string{in.embedded.Addr()}, in.embedded.Dial
	}
	if in.log, err = kafka.Open(ctx, k); err != nil {
		return err
	}
	if s.embedded == nil {
		return nil // the control log of a real cluster is made by cluster init alone
	}
	_, _, err = control.Init(ctx, in.log, control.Settings{ClusterName: k.Name, Actor: actor(), Replicas: 1, Adopt: true})
	return err
}

func (in *instance) openSpecs(ctx context.Context) error {
	s := in.settings
	in.registry = registry.New(registry.Config{Log: in.log, Control: in.control, ClusterName: in.control.ClusterName(),
		Embedded: s.embedded != nil, Dev: s.dev, Logger: s.logger, CheckFilter: bus.CheckFilter})
	in.folder = in.registry.Folder(registry.FolderConfig{Dir: s.specs, Builtin: s.builtin,
		Actor: "autobus:" + s.instance})
	if s.specs == "" && len(s.builtin) == 0 {
		return nil // what is in force stays so
	}
	if err := in.folder.Load(ctx); err != nil {
		return err
	}
	if s.dev && s.specs != "" {
		in.run(in.edges, "specs", in.folder.Run)
	}
	return nil
}

func (in *instance) openBus(ctx context.Context) error {
	s := in.settings
	state, err := control.OpenState(ctx, in.log, s.logger)
	if err != nil {
		return err
	}
	in.run(in.core, "state", state.Run)
	limits := s.quotas
	limits.Metrics = in.metrics
	in.quotas = quota.New(limits)
	cfg := bus.Config{Log: in.log, Control: in.control, State: state, Snapshot: in.registry.Snapshot,
		Unreadable: in.registry.Unreadable,
		Instance:   s.instance, Address: in.advertised(), Embedded: s.embedded != nil, Quotas: in.quotas,
		Logger: s.logger, Metrics: in.metrics}
	if s.peers != nil {
		in.peers = peer.New(peer.Config{Instance: s.instance, Keys: *s.peers, TLS: s.peerTLS})
		cfg.Dial = in.peers.Dial
	}
	if s.dev {
		cfg.CreateType = in.registry.CreateType
	}
	if in.embedded != nil {
		cfg.Full = in.embedded.Full
	}
	in.pusher = in.newPusher()
	cfg.CheckPush, cfg.Pushes = in.pusher.Check, in.pushInfo
	in.bus = bus.New(cfg)
	in.run(in.core, "bus", in.bus.Run)
	in.callers = ipc.NewCallers(in.bus)
	in.run(in.core, "callers", in.callers.Run)
	in.tokens = admin.NewTokens(in.control)
	// Before the instance is ready: a subscription that begins at the end must not miss what is published from then on.
	if err := in.registry.Subscribe(ctx, in.subscribe); err != nil {
		s.logger.Warn("declared subscriptions could not be made and will be tried again", "error", err)
	}
	in.run(in.core, "schemas", in.registry.Keep)
	in.run(in.core, "subscriptions", func(ctx context.Context) error { return in.registry.Follow(ctx, in.subscribe) })
	return nil
}

// subscribe makes a subscription that the specs declare.
func (in *instance) subscribe(ctx context.Context, sub *spec.Subscription) error {
	_, err := in.bus.PutSubscription(ctx, sub.Name, sub.Policy, bus.Audit{Actor: "autobus:" + in.settings.instance,
		Reason: "declared by " + sub.File, Spec: true})
	return err
}

// list is every edge there is. A new one is one line here.
func (in *instance) list() []edge.Edge {
	api := rest.Config{Bus: in.bus, Callers: in.callers, Logger: in.logger}
	if in.peers != nil {
		api.Leave = in.leave
	}
	return []edge.Edge{
		rest.New(api),
		ws.New(ws.Config{Bus: in.bus, Instance: in.settings.instance, Version: readBuildInfo().Version, Logger: in.logger}),
		rpc.New(rpc.Config{Bus: in.bus, Callers: in.callers, Logger: in.logger, Newest: in.newest}),
		in.registry.Edge(in.subscribe),
		in.registry.SchemaEdge(),
		in.newAdmin(),
	}
}

// newest gives the type of the highest version that a name without one means.
func (in *instance) newest(name string) (typ string, ok bool) {
	t, ok := in.registry.Snapshot().Newest(name)
	if !ok {
		return "", false
	}
	return t.Name, true
}

// leaveLooks is how often the others are looked for, about a second: an instance is a member of a group only some time
// after its first stream began.
const leaveLooks = 5

// leave ends a stream that another instance has.
func (in *instance) leave(ctx context.Context, subscription, session string) (err error) {
	for range leaveLooks {
		var addresses []string
		if addresses, err = in.bus.Peers(ctx); err != nil {
			return err
		}
		err = in.peers.Leave(ctx, addresses, subscription, session)
		if !errors.Is(err, &autobus.Error{Reason: autobus.ReasonSessionUnknown}) {
			return err
		}
	}
	return err
}

func (in *instance) newAdmin() edge.Edge {
	s := in.settings
	cfg := admin.Config{
		Instance: s.instance, Version: readBuildInfo().Version, Mode: "serve", Started: in.started, Auth: !s.dev,
		Insecure: s.insecure, Relays: in.peers != nil, Log: in.log, Control: in.control, Bus: in.bus,
		Snapshot: in.registry.Snapshot, SpecHash: in.registry.Hash, Problems: in.registry.Problems, Ready: in.ready,
		Quotas: in.quotas, Metrics: in.metrics,
	}
	if s.dev {
		cfg.Mode = "dev"
	}
	if in.embedded != nil {
		cfg.Embedded = &admin.Embedded{Broker: in.embedded, Dir: s.embedded.Dir, Ephemeral: s.embedded.Dir == "",
			Durability: durabilityOS}
		if s.embedded.Fsync {
			cfg.Embedded.Durability = durabilityFsync
		}
	}
	return admin.New(cfg)
}

func (in *instance) serve() {
	s := in.settings
	mux := http.NewServeMux()
	for _, e := range in.list() {
		e.Mount(mux)
		in.run(in.edges, e.Name(), e.Run)
	}
	options := edge.Options{Authenticate: in.authenticate, Revoked: in.tokens.Revoked, Hosts: s.hosts,
		Basic: []string{registry.SchemaPrefix}, Quotas: in.quotas, Logger: s.logger, Metrics: in.metrics,
		Refusals: map[string]func(http.ResponseWriter, *http.Request, error){
			registry.SchemaPrefix: in.registry.RefuseSchema}}
	if s.dev {
		p := devPrincipal()
		options.Open = &p
	}
	handler := edge.Handler(mux, options)
	server := &edge.Server{Listener: in.listener, TLS: s.tls, Handler: handler, Logger: s.logger, DrainFor: s.drain}
	in.run(in.edges, "http", server.Run)
	if in.schemas != nil {
		own := &edge.Server{Listener: in.schemas, TLS: s.tls, Handler: edge.Below(registry.SchemaPrefix, handler),
			Logger: s.logger, DrainFor: s.drain}
		in.run(in.edges, "schema registry", own.Run)
	}
}

// authenticate reads a token of a service, or one of another instance that acts for a service.
func (in *instance) authenticate(token string) (autobus.Principal, string, bool) {
	if keys := in.settings.peers; keys != nil {
		if p, ok := keys.Principal(token); ok {
			return p, "", true // the other instance ends it when the service's own token is revoked
		}
	}
	return in.tokens.Authenticate(token)
}

// devPrincipal is who everybody is in dev.
func devPrincipal() autobus.Principal {
	p := autobus.Principal{Name: "dev"}
	for _, v := range autobus.Verbs() {
		p.Grants = append(p.Grants, autobus.Grant{Verb: v, Pattern: "*"})
	}
	return p
}

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

// probeTimeout bounds one probe; an idle machine needs a tenth of a second.
const probeTimeout = 15 * time.Second

// probe makes sure that an event of the bus's own comes back.
func (in *instance) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	return in.bus.Probe(ctx)
}
