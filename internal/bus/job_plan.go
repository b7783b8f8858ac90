// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"cmp"
	"context"
	"slices"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
)

// planner looks through dead letters for what a job will do.
type planner struct {
	bus    *Bus
	job    *control.Job
	choice *choice
	asked  *LetterChoice
	read   map[kafka.TP]string // of a redrive: what the subscription reads -> type
	types  map[string]struct{} // topics of that

	plan    LetterPlan
	grouper grouper
	left    map[string]int
}

// findSources finds what the subscription reads: only that can be delivered to it.
func (p *planner) findSources(ctx context.Context, who autobus.Principal) error {
	rec, err := p.bus.known(ctx, who, p.job.Subscription)
	if err != nil {
		return err
	}
	v, err := control.Decode[control.Subscription](rec)
	if err != nil {
		return err
	}
	p.job.Made = v.Created
	p.read, p.types = map[kafka.TP]string{}, map[string]struct{}{}
	table, _ := p.bus.routes.all()
	for topic, typ := range p.bus.topicsOf(v.Policy.Types) {
		p.types[topic] = struct{}{}
		for i := range table[typ].Partitions {
			p.read[kafka.TP{Topic: topic, Partition: i}] = typ
		}
	}
	return nil
}

// scan goes over the letters there are.
func (p *planner) scan(ctx context.Context, f *fates, have kafka.Bounds) error {
	p.plan = LetterPlan{Subscription: p.job.Subscription, Action: p.job.Action, Groups: []LetterGroup{}, Rate: p.job.Rate}
	if p.asked.Before > 0 {
		have.End = min(have.End, p.asked.Before)
	}
	p.left, p.job.End, p.plan.End = map[string]int{}, have.End, have.End
	sources := map[kafka.TP]int64{}
	numbers, ids := map[int64]struct{}{}, map[string]struct{}{}
	_, err := p.bus.eachLetter(ctx, p.job.Subscription, have, func(l *DeadLetter) bool {
		if f.of(l) != "" || !p.choice.takes(l) {
			return true
		}
		numbers[l.Number], ids[l.ID] = struct{}{}, struct{}{}
		if why := p.unfit(l); why != "" {
			p.leave(why, l)
			return true
		}
		p.plan.Count++
		p.grouper.add(l)
		if p.job.Action == control.JobRedrive {
			sources[l.source()]++
		}
		return true
	})
	if err != nil {
		return err
	}
	if err := p.asked.missing(p.job.Subscription, numbers, ids); err != nil {
		return err
	}
	p.plan.Groups = p.grouper.done()
	p.job.Count, p.job.Sources = p.plan.Count, map[string]map[int32]int64{}
	for tp, n := range sources {
		if p.job.Sources[tp.Topic] == nil {
			p.job.Sources[tp.Topic] = map[int32]int64{}
		}
		p.job.Sources[tp.Topic][tp.Partition] = n
		p.plan.Sources = append(p.plan.Sources, LetterSource{p.read[tp], tp.Topic, tp.Partition, n})
	}
	slices.SortFunc(p.plan.Sources, func(a, b LetterSource) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return nil
}

// unfit says why a letter cannot be redriven.
func (p *planner) unfit(l *DeadLetter) string {
	if p.job.Action != control.JobRedrive {
		return ""
	}
	_, topic := p.types[l.Topic]
	_, place := p.read[l.source()]
	switch {
	case l.Omitted != "":
		return "it has no data: the record was too large for a dead letter"
	case l.place != wholePlace:
		return "it does not say where its event stands"
	case !topic:
		return "the subscription does not read its type"
	case !place:
		return "its type has no such partition any more"
	}
	return ""
}

func (p *planner) leave(why string, l *DeadLetter) {
	i, known := p.left[why]
	if !known {
		i = len(p.plan.Left)
		p.left[why] = i
		p.plan.Left = append(p.plan.Left, LetterLeft{Why: why})
	}
	p.plan.Left[i].Count++
	p.plan.Left[i].Example = l.Number
}
