// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/admin"
	"github.com/autobus-io/autobus/internal/bus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/edge"
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

// probeTimeout bounds one probe; an idle machine needs a tenth of a second.
const probeTimeout = 15 * time.Second

// probe makes sure that an event of the bus's own comes back.
func (in *instance) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	return in.bus.Probe(ctx)
}
