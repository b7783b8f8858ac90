// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"slices"
	"time"
)

// Row is one case and what it came to.
type Row struct {
	Case
	// OneProcess: gateway and broker live in one process, whose time stands under broker.
	OneProcess bool    `json:"one_process"`
	Rounds     []Round `json:"rounds"`
	Direct     Summary `json:"direct"`
	Bus        Summary `json:"bus,omitzero"`
	Ratio      Ratio   `json:"ratio,omitzero"`
	Written    Written `json:"written"`
}

// Round is the same work done directly and, right after it, by the bus.
type Round struct {
	Direct Result `json:"direct"`
	Bus    Result `json:"bus,omitzero"`
}

// Result is one side of a round. Times are in milliseconds: of the call that publishes a batch; of an ack in consume;
// from before the publish to the delivery in e2e.
type Result struct {
	Events    int64   `json:"events"`
	Seconds   float64 `json:"seconds"`
	PerSecond float64 `json:"events_per_second"`
	P50       float64 `json:"p50_ms"`
	P99       float64 `json:"p99_ms"`
	Max       float64 `json:"max_ms"`
	CPU       CPU     `json:"cpu_seconds_per_million"`
}

// CPU is processor time in seconds per million events. What is absent could not be measured, and with it the total.
type CPU struct {
	Client  float64  `json:"client"`
	Gateway *float64 `json:"gateway,omitempty"`
	Broker  *float64 `json:"broker,omitempty"`
	Total   *float64 `json:"total,omitempty"`
}

// Spread is what the rounds gave.
type Spread struct {
	Min    float64 `json:"min"`
	Median float64 `json:"median"`
	Max    float64 `json:"max"`
}

// Summary is one side over all rounds.
type Summary struct {
	PerSecond Spread  `json:"events_per_second"`
	P50       Spread  `json:"p50_ms"`
	P99       Spread  `json:"p99_ms"`
	Client    Spread  `json:"cpu_client"`
	Gateway   *Spread `json:"cpu_gateway,omitempty"`
	Broker    *Spread `json:"cpu_broker,omitempty"`
	Total     *Spread `json:"cpu_total,omitempty"`
}

// Ratio holds the bus against direct, round by round.
type Ratio struct {
	Slower   Spread  `json:"slower"`                // direct's throughput by the bus's
	CPU      *Spread `json:"cpu,omitempty"`         // the bus's processor time by direct's, all processes
	AddedP50 Spread  `json:"added_p50_ms,omitzero"` // the bus's less direct's
	AddedP99 Spread  `json:"added_p99_ms,omitzero"`
}

// Written holds what was acknowledged, warm-up included, against what the topics have. A bench whose figures do not
// add up has measured something else.
type Written struct {
	Acknowledged int64 `json:"acknowledged"`
	InTopics     int64 `json:"in_topics"`
}

func (r *Row) summarize() {
	r.Direct = summary(r.Rounds, func(r Round) Result { return r.Direct })
	if r.Mode == Direct {
		return
	}
	r.Bus = summary(r.Rounds, func(r Round) Result { return r.Bus })
	r.Ratio = Ratio{
		Slower: spread(r.Rounds, func(r Round) float64 { return over(r.Direct.PerSecond, r.Bus.PerSecond) }),
	}
	if r.Mode != Consume { // direct calls nothing there that could take time
		r.Ratio.AddedP50 = spread(r.Rounds, func(r Round) float64 { return r.Bus.P50 - r.Direct.P50 })
		r.Ratio.AddedP99 = spread(r.Rounds, func(r Round) float64 { return r.Bus.P99 - r.Direct.P99 })
	}
	if r.Direct.Total != nil && r.Bus.Total != nil {
		s := spread(r.Rounds, func(r Round) float64 { return over(*r.Bus.CPU.Total, *r.Direct.CPU.Total) })
		r.Ratio.CPU = &s
	}
}

func summary(rounds []Round, side func(Round) Result) Summary {
	of := func(f func(Result) float64) Spread {
		return spread(rounds, func(r Round) float64 { return f(side(r)) })
	}
	known := func(f func(CPU) *float64) *Spread {
		if slices.ContainsFunc(rounds, func(r Round) bool { return f(side(r).CPU) == nil }) {
			return nil
		}
		s := of(func(r Result) float64 { return *f(r.CPU) })
		return &s
	}
	return Summary{
		PerSecond: of(func(r Result) float64 { return r.PerSecond }),
		P50:       of(func(r Result) float64 { return r.P50 }),
		P99:       of(func(r Result) float64 { return r.P99 }),
		Client:    of(func(r Result) float64 { return r.CPU.Client }),
		Gateway:   known(func(c CPU) *float64 { return c.Gateway }),
		Broker:    known(func(c CPU) *float64 { return c.Broker }),
		Total:     known(func(c CPU) *float64 { return c.Total }),
	}
}

func spread(rounds []Round, f func(Round) float64) Spread {
	values := make([]float64, len(rounds))
	for i, r := range rounds {
		values[i] = f(r)
	}
	if len(values) == 0 {
		return Spread{}
	}
	slices.Sort(values)
	middle := values[len(values)/2]
	if len(values)%2 == 0 {
		middle = (middle + values[len(values)/2-1]) / 2
	}
	return Spread{values[0], middle, values[len(values)-1]}
}

func over(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// result makes one side's figures. What the gateway used while direct was measured is not direct's.
func result(s *sample, before, after usage, p Processes, viaGateway bool) Result {
	per := func(d time.Duration) *float64 {
		v := over(d.Seconds()*1e6, float64(s.events))
		return &v
	}
	r := Result{Events: s.events, Seconds: s.took.Seconds(), PerSecond: over(float64(s.events), s.took.Seconds()),
		P50: ms(s.latency.quantile(0.5)), P99: ms(s.latency.quantile(0.99)), Max: ms(s.latency.max)}
	r.CPU.Client = *per(after.client - before.client)
	total := r.CPU.Client
	if viaGateway && len(p.Gateway) > 0 && !p.shared() {
		r.CPU.Gateway = per(after.gateway - before.gateway)
		total += *r.CPU.Gateway
	}
	if len(p.Broker) > 0 {
		r.CPU.Broker = per(after.broker - before.broker)
		total += *r.CPU.Broker
	}
	if r.CPU.Broker != nil && (!viaGateway || len(p.Gateway) > 0) {
		r.CPU.Total = &total
	}
	return r
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
