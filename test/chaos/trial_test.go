// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/autobus-io/autobus/internal/bustest"
)

// scale is how large a run is made. The zero value is none.
type scale struct {
	rate  int  // events a second
	kills int  // where a run kills again and again
	full  bool // of make chaos: the measure that the row names is judged, and faults last as long as it says
}

// short is what every run of the tests does: the same fault, less of it, and no time is judged.
func short() scale { return scale{rate: 600} }

// rate is how many events a second the full runs publish: 2,000, or what AUTOBUS_TEST_CHAOS_RATE says on a machine that
// has less to give. The table prints what it came to.
func rate(t *testing.T) int {
	t.Helper()
	text := os.Getenv("AUTOBUS_TEST_CHAOS_RATE")
	if text == "" {
		return 2000
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 100 {
		t.Fatalf("AUTOBUS_TEST_CHAOS_RATE is %q, not a number of events a second from 100 on", text)
	}
	return n
}

// trial is one gateway before a cluster, a load through it, and a fault below it.
type trial struct {
	*stand
	scale
	t *testing.T
	g *gateway
	l *source

	fault time.Time // when it began
	came  float64   // events written a second before that
}

// newTrial starts a gateway and a load, and returns when that runs as it should. Half of the streams give up on an
// answer long before the brokers have noticed a death, so they have to live with unknown outcomes.
func newTrial(t *testing.T, s *stand, sc scale) *trial {
	t.Helper()
	x := &trial{stand: s, scale: sc, t: t, g: s.start(t), l: newSource(s, sc.rate)}
	for i, st := range x.l.streams {
		st.query = "?timeout=30s"
		if i%2 == 0 {
			st.query = "?timeout=3s"
		}
	}
	s.broker.WaitISR(t, s.typ)
	x.l.moveTo(t, x.g)
	x.progress("load before the fault", 2) // the first appends on a cold cluster take their time
	from := time.Now()
	x.progress("load before the fault", 3)
	x.came = x.l.timeline().written().rate(from, time.Now())
	return x
}

// progress waits until as much is written as in so many seconds.
func (x *trial) progress(what string, seconds int) {
	x.t.Helper()
	before := x.l.acked()
	bustest.Eventually(x.t, what, func(context.Context) bool {
		return x.l.acked() >= before+int64(seconds*x.scale.rate*9/10)
	})
}

// begin notes that the fault begins now, with appends in flight: without, the run proves nothing.
func (x *trial) begin() {
	x.t.Helper()
	bustest.Eventually(x.t, "appends in flight", func(context.Context) bool { return x.l.sent() > 0 })
	x.fault = time.Now()
}

// over ends the load once all that had no certain outcome has one, lets the history judge, and gives the answers. The
// gateway has to have lived through it.
func (x *trial) over() (timeline, bustest.Report) {
	x.t.Helper()
	x.l.settled(x.t)
	x.l.stop()
	x.l.unwatch()
	if n := x.l.unanswered(); n > 0 {
		x.t.Errorf("%d events have no certain outcome after all is well again", n)
	}
	r := x.l.judge(x.t, x.broker)
	select {
	case <-x.g.ended:
		x.t.Errorf("autobus serve died: %v\n%s", x.g.err, x.g.stderr)
	default:
	}
	return x.l.timeline(), r
}

// within judges a time in a full run.
func (x *trial) within(what string, is, most time.Duration) {
	x.t.Helper()
	if x.full && (is > most || is < 0) {
		x.t.Errorf("%s is %s, more than %s", what, is, most)
	}
}

// seconds writes a time as tables have it.
func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// none demands that there is nothing of a thing.
func (x *trial) none(what string, n int) {
	x.t.Helper()
	if n > 0 {
		x.t.Errorf("%d %s", n, what)
	}
}
