// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/admin"
	"github.com/autobus-io/autobus/internal/edge"
	"github.com/autobus-io/autobus/internal/edge/rest"
	"github.com/autobus-io/autobus/internal/edge/rpc"
	"github.com/autobus-io/autobus/internal/edge/ws"
)

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
