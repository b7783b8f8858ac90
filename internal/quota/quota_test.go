// SPDX-License-Identifier: Apache-2.0

package quota

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/autobus-io/autobus"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pass takes events of that size until one is refused, at most 10,000, and returns how many passed.
func pass(a *Account, size int) (n int, refused *autobus.Error) {
	for n = 0; n < 10_000; n++ {
		if refused = a.Take(size); refused != nil {
			return n, refused
		}
	}
	return n, nil
}

func TestEventsOfASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := New(Config{Default: Limits{Events: 100}}).Of("shop")
		n, err := pass(a, 1)
		if n != 100 || err.Reason != autobus.ReasonQuota || err.RetryAfter < 10*time.Millisecond ||
			err.RetryAfter > 11*time.Millisecond {
			t.Errorf("%d events passed, then %v, retry after %s", n, err, err.RetryAfter)
		}
		time.Sleep(err.RetryAfter)
		if n, _ := pass(a, 1); n != 1 {
			t.Errorf("%d events passed after the time that was told", n)
		}
		time.Sleep(10 * time.Second)
		if n, _ := pass(a, 1); n != 100 {
			t.Errorf("%d events passed after a long silence", n)
		}
	})
}

// What passes in a long time is the rate, however often it is tried.
func TestTheRateHoldsOverTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, l := range []Limits{{Events: 7, Burst: 100 * time.Millisecond}, {Bytes: 70}} {
			a := New(Config{Default: l}).Of("shop")
			_, _ = pass(a, 10)
			passed := 0
			for begin := time.Now(); time.Since(begin) < 100*time.Second; time.Sleep(3 * time.Millisecond) {
				n, _ := pass(a, 10)
				passed += n
			}
			if passed < 680 || passed > 701 {
				t.Errorf("%+v: %d events passed in 100 s", l, passed)
			}
		}
	})
}

// A large event is neither kept out by small ones nor by its size; what it takes beyond the quota is waited off.
func TestALargeEventGoesIntoDebt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := New(Config{Default: Limits{Bytes: 1000}}).Of("shop")
		for _, size := range []int{999, 5000} {
			if err := a.Take(size); err != nil {
				t.Fatal(err)
			}
		}
		err := a.Take(1)
		if err == nil || err.RetryAfter < 4999*time.Millisecond || err.RetryAfter > 5001*time.Millisecond {
			t.Fatalf("after 4,999 bytes of debt: %v", err)
		}
		time.Sleep(err.RetryAfter)
		if err := a.Take(1); err != nil {
			t.Error(err)
		}
	})
}

// What one limit refuses takes nothing from the other.
func TestARefusedEventTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := New(Config{Default: Limits{Events: 10, Bytes: 100, Burst: 10 * time.Second}}).Of("shop")
		if n, _ := pass(a, 1000); n != 1 {
			t.Errorf("%d events of 1,000 bytes passed", n)
		}
		time.Sleep(time.Second)
		if n, _ := pass(a, 0); n != 100 {
			t.Errorf("%d empty events passed, not the burst", n)
		}
	})
}

func TestTheFirstRuleThatMatchesCounts(t *testing.T) {
	reg := prometheus.NewRegistry()
	q := New(Config{Metrics: reg, Default: Limits{Events: 1, Connections: 1}, Rules: []Rule{
		{"batch.night", Limits{Events: 2}}, {"batch.*", Limits{Events: 3}}, {"free", Limits{}}}})
	for name, want := range map[string]int{"shop": 1, "batch.night": 2, "batch.day": 3, "batch": 1, "free": 10_000} {
		if n, _ := pass(q.Of(name), 1); n != want {
			t.Errorf("%s: %d events passed, want %d", name, n, want)
		}
	}
	if q.Of("free") != nil || q.Status("free") != nil {
		t.Error("an account without any limit")
	}
	if s := q.Status("shop"); s.Events != 1 || s.Connections != 1 || s.Burst != "1s" || s.Open != 0 {
		t.Errorf("%+v", s)
	}
	var none *Quotas
	if n, err := pass(none.Of("shop"), 1); n != 10_000 || err != nil || none.Status("shop") != nil {
		t.Error("no quotas refuse", n, err)
	}
	families, err := reg.Gather()
	if err != nil || len(families) != 1 {
		t.Fatal(families, err)
	}
	for _, m := range families[0].GetMetric() {
		want := 0.0
		if m.GetLabel()[0].GetValue() == limitNames()[events] {
			want = 4
		}
		if m.GetCounter().GetValue() != want {
			t.Errorf("counted: %s", m)
		}
	}
}

func TestConnections(t *testing.T) {
	q := New(Config{Default: Limits{Connections: 2}})
	a := q.Of("shop")
	first, err := a.Connect()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Connect(); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Connect(); err == nil || err.Reason != autobus.ReasonQuota || q.Status("shop").Open != 2 {
		t.Fatal("a third connection", err)
	}
	if _, err := q.Of("other").Connect(); err != nil {
		t.Error("another principal's", err)
	}
	first()
	first()
	if _, err := a.Connect(); err != nil {
		t.Error(err)
	}
	if _, err := a.Connect(); err == nil {
		t.Error("a release that came twice counted twice")
	}
}
