// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"log/slog"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bridge"
	"github.com/autobus-io/autobus/ipc"
)

func (a *app) newBridgeCommand() *cobra.Command {
	return group("bridge", "Put HTTP clients and HTTP services on the bus as they are",
		"  autobus bridge respond pricing.http.call.v1 --to http://localhost:8000\n"+
			"  autobus bridge call pricing.http.call.v1 --listen 127.0.0.1:8080",
		a.newBridgeCallCommand(), a.newBridgeRespondCommand())
}

// bridgeCallFlags is one bridge call command as it was typed.
type bridgeCallFlags struct {
	app    *app
	typ    string
	listen string
	routes []string
	allow  []string
	wait   time.Duration
}

func (a *app) newBridgeCallCommand() *cobra.Command {
	b := &bridgeCallFlags{app: a}
	cmd := &cobra.Command{
		Use:   "call [TYPE]",
		Short: "Take an HTTP client's requests and ask with them over the bus",
		Long: "Listen for HTTP requests and ask with each over the bus, until a signal comes. What is sent to the address\n" +
			"itself, or to localhost, asks for TYPE. Hosts with a --route ask for its type, also where the client uses the\n" +
			"address as a forward proxy (http_proxy). Everything else is refused, and so are clients that are neither of\n" +
			"this machine nor of a network of --allow.\n\n" +
			"docs/howto/http-endpoint.md tells more.\n\n" +
			exitCodes(exitOK, exitFailed, exitUsage, exitUnreachable),
		Example: "  autobus bridge call pricing.http.call.v1 --listen 127.0.0.1:8080\n" +
			"  autobus bridge call --listen :3128 --allow 10.0.0.0/8 --route pricing=pricing.http.call.v1 \\\n" +
			"    --route offers=offers.http.call.v1",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeTypes,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				b.typ = args[0]
			}
			return b.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVar(&b.listen, "listen", "127.0.0.1:8080", "address to listen on, host:port; plain HTTP")
	f.StringArrayVar(&b.routes, "route", nil, "host that leads to a type, HOST=TYPE; may be repeated")
	f.StringArrayVar(&b.allow, "allow", nil, "network whose clients are served as well, such as 10.0.0.0/8; may be\n"+
		"repeated; default: those of this machine alone")
	f.DurationVar(&b.wait, "wait", ipc.DefaultTimeout, "how long to wait for an answer")
	return cmd
}

// caller checks the flags.
func (b *bridgeCallFlags) caller() (*bridge.Caller, error) {
	c := &bridge.Caller{Type: b.typ, Routes: map[string]string{}, Wait: b.wait, Logger: b.app.bridgeLog()}
	for _, r := range b.routes {
		host, typ, ok := strings.Cut(r, "=")
		host = strings.ToLower(host)
		if !ok || host == "" || strings.ContainsAny(host, ":/ ") || !autobus.ValidType(typ) {
			return nil, usage("--route is %q", r).
				WithHint("Write HOST=TYPE, the host without a port, such as pricing=pricing.http.call.v1.")
		}
		if c.Routes[host] != "" {
			return nil, usage("--route names %s twice", host).WithHint("Give one type for each host.")
		}
		c.Routes[host] = typ
	}
	for _, n := range b.allow {
		network, err := netip.ParsePrefix(n)
		if err != nil {
			return nil, usage("--allow is %q", n).WithHint("Write a network as 10.0.0.0/8, one address as 10.1.2.3/32.")
		}
		c.Clients = append(c.Clients, network)
	}
	switch {
	case b.typ == "" && len(c.Routes) == 0:
		return nil, usage("no type to ask for").WithHint("Name one, or a --route HOST=TYPE.")
	case b.typ != "" && !autobus.ValidType(b.typ):
		return nil, usage("%q is no type", b.typ).WithHint("Name a type such as pricing.http.call.v1.")
	case b.wait <= 0:
		return nil, usage("--wait is %s", b.wait).WithHint("Give a positive duration such as 30s.")
	}
	return c, nil
}

func (b *bridgeCallFlags) run(ctx context.Context) error {
	c, err := b.caller()
	if err != nil {
		return err
	}
	bus, hangUp, err := b.app.dial(ctx, "autobus-bridge", c.Logger)
	if err != nil {
		return err
	}
	defer hangUp()
	listener, err := listen(b.listen)
	if err != nil {
		return err
	}
	c.Bus = bus
	b.app.note("listening on http://%s", listener.Addr())
	return c.Run(ctx, listener)
}

// bridgeRespondFlags is one bridge respond command as it was typed.
type bridgeRespondFlags struct {
	app     *app
	typ     string
	to      string
	group   string
	host    string
	paths   []string
	workers int
}

func (a *app) newBridgeRespondCommand() *cobra.Command {
	b := &bridgeRespondFlags{app: a}
	cmd := &cobra.Command{
		Use:   "respond TYPE",
		Short: "Answer the requests of a type by an HTTP service",
		Long: "Send the requests of a type to one HTTP service and reply with what it answers, until a signal comes. A\n" +
			"service that is down is waited for. A request that it got and did not answer is not sent to it again, but for\n" +
			"one during which a bridge or its gateway died.\n\n" +
			"Without -g the subscription has the name of the type and is made if there is none.\n" +
			"docs/howto/http-endpoint.md tells more.\n\n" +
			exitCodes(exitOK, exitFailed, exitUsage, exitUnreachable),
		Example: "  autobus bridge respond pricing.http.call.v1 --to http://localhost:8000\n" +
			"  autobus bridge respond pricing.http.call.v1 --to https://pricing.example.com --host pricing.example.com \\\n" +
			"    -g pricing --path /quotes",
		Args:              named("type", "autobus bridge respond pricing.http.call.v1 --to URL", cobra.MaximumNArgs(1)),
		ValidArgsFunction: a.completeTypes,
		RunE: func(cmd *cobra.Command, args []string) error {
			b.typ = args[0]
			return b.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVar(&b.to, "to", "", "address of the service, http://host:port or https://host:port")
	f.StringVarP(&b.group, "group", "g", "", "subscription to answer for, which has to exist; default: the type's name")
	f.StringVar(&b.host, "host", "", "host to ask the service for; default: the one that the client named")
	f.StringArrayVar(&b.paths, "path", nil, "path that may be asked for, with all below it; may be repeated; default: any")
	f.IntVar(&b.workers, "workers", 16, "requests at a time")
	return cmd
}

// responder checks the flags.
func (b *bridgeRespondFlags) responder() (*bridge.Responder, error) {
	to, err := url.Parse(b.to)
	if err != nil || to.Scheme != "http" && to.Scheme != "https" || to.Hostname() == "" || to.User != nil ||
		strings.Trim(to.Path, "/") != "" || to.RawQuery != "" || to.Fragment != "" {
		return nil, usage("--to is %q", b.to).WithHint("Give scheme, host and port alone, such as http://localhost:8000.")
	}
	switch {
	case !autobus.ValidType(b.typ):
		return nil, usage("%q is no type", b.typ).WithHint("Name a type such as pricing.http.call.v1.")
	case b.workers < 1 || b.workers > 1000:
		return nil, usage("--workers is %d", b.workers).WithHint("Give a number from 1 to 1000.")
	}
	for _, path := range b.paths {
		if !strings.HasPrefix(path, "/") {
			return nil, usage("--path is %q", path).WithHint("Begin it with a slash: /quotes.")
		}
	}
	p := &bridge.Responder{Subscription: b.group, To: to, Host: b.host, Paths: b.paths, Workers: b.workers,
		Logger: b.app.bridgeLog(), Ready: func(is bool) {
			if is {
				b.app.note("answering %s by %s", b.typ, to.Host)
			}
		}}
	if b.group == "" {
		p.Subscription, p.Create = b.typ, &autobus.Policy{Types: []string{b.typ}}
	}
	return p, nil
}

func (b *bridgeRespondFlags) run(ctx context.Context) error {
	p, err := b.responder()
	if err != nil {
		return err
	}
	bus, hangUp, err := b.app.dial(ctx, "autobus-bridge", p.Logger)
	if err != nil {
		return err
	}
	defer hangUp()
	p.Bus = bus
	return p.Run(ctx)
}

// bridgeLog is for what goes wrong; under -q for nothing.
func (a *app) bridgeLog() *slog.Logger {
	if a.quiet {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
}
