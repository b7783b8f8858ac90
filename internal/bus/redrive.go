// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
)

// Redriving brings events of dead letters back to the subscription that gave them up. Whoever has the partition from
// which an event came parks it once more, as a new life of it; from there on it is delivered as any parked event. The
// park log tells from which letter an event lives, so that whoever goes on after an interruption knows what is there.
// The rules are in docs/decisions/0021-redriven-letters-are-parked-again.md.

const (
	redriveLetters = 500 // at a time
	redriveBytes   = 2 << 20
	redriveAgain   = time.Second // after an error, and when there was no room
)

// run is what this instance does for one job. Only keepRedriving has it.
type run struct {
	parts  map[*partition]*progress
	credit float64 // letters that its rate allows now
	at     time.Time
}

// progress is how far one partition is with a job.
type progress struct {
	control.JobProgress
	unsaved bool
}

// keepRedriving works for the jobs of the subscription until ctx ends.
func (g *group) keepRedriving(ctx context.Context, m *kafka.Member) {
	runs := map[string]*run{}
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		case <-g.redriving:
		}
		wait, err := g.redriveAll(ctx, m, runs)
		if err != nil && ctx.Err() == nil {
			g.bus.cfg.Logger.Warn("redrive dead letters", "subscription", g.name, "error", err)
			wait = redriveAgain
		}
		if wait > 0 {
			again.Reset(wait)
		}
	}
}

// redriveAll goes on with every job as far as it goes, in turn, and tells when to look again; 0 = when there is news.
func (g *group) redriveAll(ctx context.Context, m *kafka.Member, runs map[string]*run) (wait time.Duration, err error) {
	for more := true; more; {
		more, wait = false, 0
		work, err := g.unfinished(ctx)
		if err != nil || work == nil {
			return 0, err
		}
		for _, j := range work.jobs {
			if j.over() || !j.Made.Equal(g.made()) {
				continue
			}
			if runs[j.id] == nil {
				runs[j.id] = &run{parts: map[*partition]*progress{}, credit: 1, at: time.Now()}
			}
			went, pause, err := g.redriveSome(ctx, m, j, work, runs[j.id])
			if err != nil {
				return 0, err
			}
			more = more || went
			if pause > 0 && (wait == 0 || pause < wait) {
				wait = pause
			}
		}
	}
	return wait, nil
}

// unfinished gives the jobs of the subscription, or nil when there are none to go on with.
func (g *group) unfinished(ctx context.Context) (*fates, error) {
	all, err := g.bus.jobs.of(g.name)
	redrives := func(j *job) bool { return j.Action == control.JobRedrive && !j.Canceled }
	if err != nil || !slices.ContainsFunc(all, redrives) {
		return nil, err
	}
	return g.bus.fates(ctx, g.name, false)
}

func (g *group) made() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.value.Created
}

// redriveSome goes on with one job by as much as is done at a time. went = there may be more at once.
func (g *group) redriveSome(ctx context.Context, m *kafka.Member, j *fated, f *fates, r *run) (went bool,
	pause time.Duration, err error) {
	mine, err := g.enlist(ctx, j, r)
	if err != nil || len(mine) == 0 {
		return false, 0, err
	}
	most := redriveLetters
	if j.Rate > 0 {
		if most, pause = r.allow(j, mine); most == 0 {
			return false, pause, nil
		}
	}
	letters, next, err := g.readLetters(ctx, j, f, mine, most)
	if err != nil {
		return false, 0, err
	}
	if err := g.forgetSkips(ctx, letters); err != nil {
		return false, 0, err
	}
	b := batch{group: g, mine: mine, next: next}
	if len(letters) > 0 {
		if b.sources, err = g.bus.cfg.Log.Ends(ctx, slices.Collect(maps.Keys(j.Sources))...); err != nil {
			return false, 0, err
		}
	}
	g.place(letters, &b)
	r.credit -= float64(b.taken)
	if err := b.await(ctx); err != nil {
		return false, 0, err
	}
	if err := b.save(ctx, m, j); err != nil {
		return false, 0, err
	}
	if b.full {
		return false, redriveAgain, nil
	}
	return true, 0, nil
}

// enlist finds the partitions that are open here and not done with a job.
func (g *group) enlist(ctx context.Context, j *fated, r *run) (map[kafka.TP]*lot, error) {
	g.mu.Lock()
	mine, fresh := map[kafka.TP]*lot{}, false
	for p := range r.parts {
		if p.phase == closed {
			delete(r.parts, p)
		}
	}
	for tp, p := range g.parts {
		if _, chosen := j.Sources[tp.Topic][tp.Partition]; chosen && p.phase == open && p.loaded {
			mine[tp] = &lot{part: p, progress: r.parts[p]}
			fresh = fresh || r.parts[p] == nil
		}
	}
	g.mu.Unlock()
	if fresh { // what the one before did may not have been read yet
		if err := g.bus.cfg.State.Barrier(ctx); err != nil {
			return nil, err
		}
		known, err := g.bus.cfg.State.JobProgress()
		if err != nil {
			return nil, err
		}
		j = newFated(j.job, known[j.id])
	}
	for tp, l := range mine {
		if l.progress == nil {
			l.progress = &progress{JobProgress: control.JobProgress{Next: j.next[tp], Topic: tp.Topic,
				Partition: tp.Partition, Incarnation: l.part.incarnation}}
			r.parts[l.part] = l.progress
		}
		if l.progress.Next >= j.End && !l.progress.unsaved {
			delete(mine, tp)
		}
	}
	return mine, nil
}

// allow tells how many letters the rate of a job allows now, or when it allows the next one. An instance has the share
// of the rate that it has of the letters.
func (r *run) allow(j *fated, mine map[kafka.TP]*lot) (n int, pause time.Duration) {
	share := int64(0)
	for tp := range mine {
		share += j.Sources[tp.Topic][tp.Partition]
	}
	rate := j.Rate * float64(share) / float64(max(1, j.Count))
	now := time.Now()
	r.credit = min(r.credit+rate*now.Sub(r.at).Seconds(), max(1, rate))
	r.at = now
	if r.credit < 1 {
		return 0, time.Duration((1 - r.credit) / rate * float64(time.Second))
	}
	return min(int(r.credit), redriveLetters), 0
}

// errBatch ends the reading of letters for one batch.
var errBatch = errors.New("that is enough for now")

// readLetters reads the next letters of a job whose events come from partitions here, and gives where to go on.
func (g *group) readLetters(ctx context.Context, j *fated, f *fates, mine map[kafka.TP]*lot, most int) (
	letters []redriven, next int64, err error) {
	from := j.End
	for _, l := range mine {
		from = min(from, l.progress.Next)
	}
	have, err := g.bus.cfg.Log.Bounds(ctx, deadLetters(g.name))
	if err != nil {
		return nil, 0, err
	}
	tp := lettersOf(g.name)
	in, ok := have[tp]
	if !ok {
		return nil, 0, errors.New("the topic of the dead letters does not tell where it begins and ends")
	}
	from = max(from, in.First)
	if from >= j.End {
		return nil, j.End, nil
	}
	next, bytes, rest := j.End, 0, f.without(j.id)
	upTo := map[kafka.TP]int64{tp: j.End - 1}
	err = g.bus.eachOwn(ctx, map[kafka.TP]int64{tp: from}, upTo, func(rec *kafka.Record) error {
		if len(letters) == most || bytes >= redriveBytes {
			next = rec.Offset
			return errBatch
		}
		l := readLetter(g.bus.cfg.Log.Name(), rec)
		if lot := mine[l.source()]; lot == nil || l.Number < lot.progress.Next || !j.chooses(&l) || rest.of(&l) != "" {
			return nil
		}
		own := l.unburied(rec)
		letters = append(letters, redriven{DeadLetter: l, record: own.Clone()})
		bytes += own.Size()
		return nil
	})
	if errors.Is(err, errBatch) {
		err = nil
	}
	return letters, next, err
}

// without leaves out what one job did.
func (f *fates) without(id string) *fates {
	rest := slices.DeleteFunc(slices.Clone(f.jobs), func(j *fated) bool { return j.id == id })
	return &fates{edited: f.edited, jobs: rest}
}
