// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"testing"
	"time"

	"github.com/autobus-io/autobus/internal/bustest"
)

func loseAnswers(t *testing.T, s *stand, sc scale, r *row)     { lose(t, s, sc, r, false) }
func loseAnswersMove(t *testing.T, s *stand, sc scale, r *row) { lose(t, s, sc, r, true) }

// lose lets a gateway hear nothing from the brokers for 10 s, while they still hear it: they write what they are sent,
// and nobody learns of it. Clients hear that the outcome is unknown, and send again under the same ids; at the same
// gateway, which still waits for the first outcome, or at another one, which cannot know of it.
func lose(t *testing.T, s *stand, sc scale, r *row, move bool) {
	s.by = s.net.gateway
	x := newTrial(t, s, sc)
	at := s.start(t)
	for _, st := range x.l.streams {
		st.query = "?timeout=3s"
	}
	x.l.moveTo(t, x.g) // so that every stream has that
	x.progress("load with short deadlines", 1)
	log := s.broker.Open(t)
	records := func() (n int64) {
		ctx, cancel := context.WithTimeout(t.Context(), bustest.Patience)
		defer cancel()
		ends, err := log.Ends(ctx, s.typ)
		if err != nil {
			t.Fatal(err)
		}
		for _, end := range ends {
			n += end
		}
		return n
	}
	x.begin()
	for broker := 1; broker <= 3; broker++ {
		s.net.drop(broker, gatewayHost)
	}
	<-time.After(time.Second) // what was answered before the cut has come by now
	acked := x.l.acked()
	unheard := records() - acked
	if move {
		x.l.moveTo(t, at)
		bustest.Eventually(t, "what was lost to be written through the other gateway", func(context.Context) bool {
			return x.l.unanswered() == 0 && x.l.acked() > acked+int64(sc.rate)
		})
	} else {
		<-time.After(time.Until(x.fault.Add(10 * time.Second)))
		for _, w := range x.l.timeline().written() {
			if w.sent.After(x.fault.Add(time.Second)) {
				t.Fatal("an event was sent and acknowledged during the cut: it proves nothing")
			}
		}
	}
	for broker := 1; broker <= 3; broker++ {
		s.net.heal(broker, gatewayHost)
	}
	healed := time.Now()
	x.progress("load after the cut", 3)
	a, rep := x.over()

	if unheard < 1 || rep.Unknown == 0 {
		t.Errorf("%d events were written whose answers were lost, %d outcomes unknown: the run proves nothing", unheard,
			rep.Unknown)
	}
	if move {
		if rep.Copies == 0 {
			t.Error("no event was written twice: the run proves nothing")
		}
		r.came(x, rep, "%d written whose answers were lost, %d unknown; %d events have a second copy, none a third, %d "+
			"different ones", unheard, rep.Unknown, rep.Copies, rep.Records-rep.Copies)
		return
	}
	x.none("events are in the log twice", rep.Copies)
	r.came(x, rep, "%d written whose answers were lost, %d unknown, all resolved within %s of the end; no copies", unheard,
		rep.Unknown, seconds(a.back(partitions, healed)))
}
