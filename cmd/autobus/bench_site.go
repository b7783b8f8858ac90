// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bench"
	"github.com/autobus-io/autobus/internal/kafka"
)

// benchSite is what one case runs on: brokers, and a gateway unless the case is direct.
type benchSite struct {
	flags  *benchFlags
	target bench.Target
	log    *kafka.Log
	dir    string // of the gateway's files; "" = none
	child  *child // nil = the gateway is not ours
	wipes  bool   // the cluster had no bus: what there is of one is to be deleted
}

// benchCluster is what the bus calls a cluster that a bench prepared. A control log of that name was left behind by a
// bench that was killed.
const benchCluster = "autobus-bench"

// benchTime bounds what happens before and after the measuring.
const benchTime = time.Minute

// open starts what is missing. The site is to be closed also after an error.
func (b *benchFlags) open(ctx context.Context, c bench.Case) (s *benchSite, err error) {
	ctx, cancel := context.WithTimeout(ctx, benchTime)
	defer cancel()
	s = &benchSite{flags: b}
	s.target.Dial = s.dial
	switch {
	case b.url != "":
		err = s.takeGateway(ctx, c)
	case len(b.brokers) == 0:
		err = s.startDev(ctx, c)
	case c.Mode == bench.Direct:
		err = s.connect(ctx, b.brokers)
	default:
		err = s.startServe(ctx, c)
	}
	return s, err
}

// connect opens the brokers and finds their processes.
func (s *benchSite) connect(ctx context.Context, brokers []string) (err error) {
	s.target.Kafka = benchKafka(brokers)
	if s.log, err = kafka.Open(ctx, s.target.Kafka); err != nil {
		return err
	}
	about, err := s.log.Describe(ctx)
	if err != nil {
		return err
	}
	pids := s.flags.brokerPIDs
	for _, broker := range about.Brokers {
		if err := s.flags.onThisMachine(broker.Addr); err != nil {
			return err
		}
		if len(s.flags.brokerPIDs) > 0 {
			continue
		}
		pid, err := listenerOf(broker.Addr)
		if err != nil {
			s.flags.app.note("Processor time of the brokers is not measured: %s. Name their processes by --broker-pid.", err)
			pids = nil
			break
		}
		pids = append(pids, pid)
	}
	slices.Sort(pids)
	s.target.Broker = slices.Compact(pids)
	return nil
}

// listenerOf finds the process behind an address of this machine.
func listenerOf(addr string) (pid int, err error) {
	if !bench.Loopback(addr) {
		return 0, fmt.Errorf("%s is not on this machine", addr)
	}
	_, text, err := net.SplitHostPort(addr)
	if err != nil {
		return 0, err
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return 0, err
	}
	return bench.Listener(uint16(port))
}

// takeGateway uses a gateway that runs.
func (s *benchSite) takeGateway(ctx context.Context, c bench.Case) error {
	b := s.flags
	var err error
	if s.target.Token, err = b.app.readToken(); err != nil {
		return err
	}
	s.target.URL = b.url
	if err := s.connect(ctx, b.brokers); err != nil {
		return err
	}
	if s.target.Gateway = []int{b.gatewayPID}; b.gatewayPID == 0 {
		u, err := url.Parse(b.url)
		if err != nil {
			return err
		}
		addr := u.Host
		if u.Port() == "" {
			addr = net.JoinHostPort(u.Hostname(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
		}
		pid, err := listenerOf(addr)
		s.target.Gateway = []int{pid}
		if err != nil {
			b.app.note("Processor time of the gateway is not measured: %s. Name its process by --gateway-pid.", err)
			s.target.Gateway = nil
		}
	}
	return s.wantType(ctx, c)
}

// wantType makes sure that the gateway knows the type, as the bench has it.
func (s *benchSite) wantType(ctx context.Context, c bench.Case) error {
	api, err := newAPI(s.target.URL, s.target.Token)
	if err != nil {
		return err
	}
	defer api.close()
	name := bench.TypeName(c.Value, c.Partitions)
	next := fmt.Sprintf("Write its spec beside those of the gateway: autobus bench specs DIR --partitions %d. Then start "+
		"the gateway anew with --specs DIR.", c.Partitions)
	doc, err := api.get(ctx, "/v1/types/"+url.PathEscape(name), s.flags.app.timeout)
	if err != nil {
		if e, ok := errors.AsType[*autobus.Error](err); ok && e.Reason == autobus.ReasonTypeUnknown {
			return autobus.NewError(autobus.ReasonTypeUnknown, "the gateway at %s has no type %s", s.target.URL, name).
				WithHint("%s", next)
		}
		return err
	}
	var t typeInfo
	if err := json.Unmarshal(doc, &t); err != nil {
		return fmt.Errorf("the answer cannot be read: %w", err)
	}
	topics, err := s.log.Topics(ctx, name)
	if err != nil {
		return err
	}
	if topic, ok := topics[name]; !ok || topic.Partitions != int32(c.Partitions) {
		return autobus.NewError(autobus.ReasonRouteMismatch, "the brokers %s have no topic %s of %d partitions",
			strings.Join(s.flags.brokers, ","), name, c.Partitions).WithHint("Name the cluster of that gateway by --kafka.")
	}
	return nil
}

// startDev starts a gateway with the embedded broker.
func (s *benchSite) startDev(ctx context.Context, c bench.Case) error {
	specs, err := s.writeSpecs(c)
	if err != nil {
		return err
	}
	// A bench writes more than the budget that is meant for trying out.
	const budget = "64GiB"
	line, err := s.start(ctx, true, func(line string) bool { return strings.HasPrefix(line, "{") }, "dev", "--port", "0",
		"--kafka-port", "0", "--no-demo", "--specs", specs, "--data", filepath.Join(s.dir, "data"), "--budget", budget,
		"--durability", s.flags.durability, "-o", "json")
	if err != nil {
		return err
	}
	var info bannerInfo
	if err := json.Unmarshal([]byte(line), &info); err != nil {
		return fmt.Errorf("the gateway's banner cannot be read: %w", err)
	}
	s.target.URL = info.API
	return s.connect(ctx, []string{info.Kafka})
}

func (s *benchSite) writeSpecs(c bench.Case) (dir string, err error) {
	if s.dir, err = os.MkdirTemp("", "autobus-bench-"); err != nil {
		return "", err
	}
	dir = filepath.Join(s.dir, "specs")
	return dir, writeBenchSpecs(dir, []int{c.Partitions})
}

// close ends the gateway and deletes what was made.
func (s *benchSite) close() error {
	var errs []error
	if s.child != nil {
		errs = append(errs, s.child.stop())
	}
	if s.log != nil {
		ctx, cancel := context.WithTimeout(context.Background(), benchTime)
		defer cancel()
		if s.wipes {
			topics, err := s.log.Topics(ctx)
			errs = append(errs, err, s.log.DeleteTopics(ctx, benchTopics(topics)...))
		}
		errs = append(errs, s.log.Close(ctx))
	}
	if s.dir != "" {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	return errors.Join(errs...)
}

// answers makes sure that somebody is there before a client tries again and again.
func (s *benchSite) answers(ctx context.Context) error {
	api, err := newAPI(s.target.URL, s.target.Token)
	if err != nil {
		return err
	}
	defer api.close()
	_, _, err = api.exchange(ctx, call{method: http.MethodGet, path: "/v1/types"}, s.flags.app.timeout)
	return err
}
