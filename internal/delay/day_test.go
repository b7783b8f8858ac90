// SPDX-License-Identifier: Apache-2.0

package delay

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/autobus-io/autobus/internal/kafka"
)

// TestDelaysInFakeTime keeps records for up to three days, through every tier, on a broker in a virtual network.
func TestDelaysInFakeTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vn := new(kfake.VirtualNetwork)
		cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(9093), kfake.ListenFn(vn.Listen),
			kfake.GroupMaxSessionTimeout(5*time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		defer cluster.Close()
		// Each heartbeat and each empty answer of days would be played.
		log, err := kafka.Open(t.Context(), kafka.Config{Name: "test", Brokers: cluster.ListenAddrs(),
			ClientID: "autobus/test/here", Dial: vn.DialContext, Logger: quiet,
			Times: &kafka.Times{Session: time.Hour, Heartbeat: 20 * time.Minute, Rebalance: time.Hour, Topics: time.Hour,
				Fetch: 30 * time.Second}})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = log.Close(context.Background()) }()
		s := newStation(t, log)
		stop := s.work(t)
		defer stop()
		delays := []time.Duration{time.Second, 63 * time.Second, 70 * time.Second, 3 * time.Minute, time.Hour, 24 * time.Hour,
			80 * time.Hour}
		began := time.Now()
		for i, d := range delays {
			s.keep(t, fmt.Sprint(i), began.Add(d))
		}
		for i, d := range delays {
			e := <-s.got
			late := time.Since(e.Due)
			if e.ID != fmt.Sprint(i) || late < 0 || late > 2*time.Second {
				t.Errorf("a delay of %s: released %s, %s after its time", d, e.ID, late)
			}
		}
	})
}
