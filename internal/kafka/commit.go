// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ErrMetadataTooLarge says that the metadata of a commit is longer than the brokers take.
var ErrMetadataTooLarge = errors.New("the commit's metadata is too large")

// CommitErrors tells which partitions' commits failed, and why. The others of the same call were committed. ErrFenced
// and ErrMetadataTooLarge will not get better; after any other error the same commit may be tried again.
type CommitErrors map[TP]error

// Error names one of them and how many there are.
func (e CommitErrors) Error() string {
	for tp, err := range e {
		if len(e) == 1 {
			return fmt.Sprintf("commit of partition %d of %s: %v", tp.Partition, tp.Topic, err)
		}
		return fmt.Sprintf("commit of partition %d of %s and %d others: %v", tp.Partition, tp.Topic, len(e)-1, err)
	}
	return "commit"
}

// Unwrap makes errors.Is find each partition's error.
func (e CommitErrors) Unwrap() []error {
	out := make([]error, 0, len(e))
	for _, err := range e {
		out = append(out, err)
	}
	return out
}

// commitAgain is the pause before partitions are tried again that a rebalance kept from being committed.
const commitAgain = 100 * time.Millisecond

// pending are commits on their way, each under the assignment that it was made in.
type pending map[TP]struct {
	Commit
	under *holding
}

// Commit stores positions of held partitions, waiting through rebalances until ctx ends. The error is a CommitErrors.
// When ctx ended, a commit may or may not have been stored. Commits do not overtake each other: the next one waits
// until the brokers answered, also when nobody waits for the answer any more.
func (m *Member) Commit(ctx context.Context, commits map[TP]Commit) error {
	failed := CommitErrors{}
	todo := pending{}
	m.mu.Lock()
	for tp, c := range commits {
		if h := m.held[tp]; h != nil {
			todo[tp] = struct {
				Commit
				under *holding
			}{c, h}
		} else {
			failed[tp] = ErrFenced
		}
	}
	m.mu.Unlock()
	if len(todo) > 0 {
		m.commitInTurn(ctx, todo, failed)
	}
	if len(failed) > 0 {
		return failed
	}
	return nil
}

func (m *Member) commitInTurn(ctx context.Context, todo pending, failed CommitErrors) {
	select {
	case m.turn <- struct{}{}:
	case <-ctx.Done():
		for tp := range todo {
			failed[tp] = ctx.Err()
		}
		return
	}
	answer := make(chan CommitErrors, 1)
	go func() {
		answer <- m.commit(ctx, todo)
		<-m.turn
	}()
	select {
	case errs := <-answer:
		maps.Copy(failed, errs)
	case <-ctx.Done():
		// The request is not cancelled: it could overtake the next one then, and the position would go back.
		for tp := range todo {
			failed[tp] = ctx.Err()
		}
	}
}

// commit tries until every partition is committed or has failed for good, or ctx ends. It keeps todo as it is.
func (m *Member) commit(ctx context.Context, todo pending) CommitErrors {
	failed := CommitErrors{}
	left := maps.Clone(todo)
	for {
		// First the id and generation, then what is held: what is held afterwards was not given back under them.
		member, generation := m.client.GroupMetadata()
		m.mu.Lock()
		for tp, p := range left {
			if m.held[tp] != p.under || p.under.member != member {
				failed[tp] = ErrFenced
				delete(left, tp)
			}
		}
		m.mu.Unlock()
		if len(left) == 0 {
			return failed
		}
		var again error
		for tp, err := range m.request(member, generation, left) {
			switch {
			case err == nil:
				delete(left, tp)
			case passing(err):
				again = err
			default:
				failed[tp] = err
				delete(left, tp)
			}
		}
		if len(left) == 0 {
			return failed
		}
		select {
		case <-ctx.Done():
			for tp := range left {
				failed[tp] = fmt.Errorf("%w: %w", ctx.Err(), again)
			}
			return failed
		case <-time.After(commitAgain):
		}
	}
}

// passing reports whether a commit failed for a reason that passes: a rebalance, or a coordinator that moves. In a
// rebalance the group is a generation ahead of the client for a moment; who is thrown out gets another answer.
func passing(err error) bool {
	if Gone(err) { // which the client calls retriable
		return false
	}
	return errors.Is(err, kerr.RebalanceInProgress) || errors.Is(err, kerr.IllegalGeneration) || kerr.IsRetriable(err)
}

// request commits once and gives an answer for each partition. The request is our own: the client's commit would write
// the member's id where the metadata belongs, and hide which partition failed.
func (m *Member) request(member string, generation int32, commits pending) map[TP]error {
	type topic struct {
		name string
		id   [16]byte
	}
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.MemberID, req.Generation = m.group.ID, member, generation
	at := map[topic]int{}
	names := map[[16]byte]string{}
	for tp, c := range commits {
		t := topic{tp.Topic, c.under.topic}
		i, ok := at[t]
		if !ok {
			i = len(req.Topics)
			at[t], names[t.id] = i, t.name
			rt := kmsg.NewOffsetCommitRequestTopic()
			rt.Topic, rt.TopicID = t.name, t.id
			req.Topics = append(req.Topics, rt)
		}
		rp := kmsg.NewOffsetCommitRequestTopicPartition()
		rp.Partition, rp.Offset, rp.Metadata = tp.Partition, c.Offset, &c.Metadata
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, rp)
	}
	out := make(map[TP]error, len(commits))
	resp, err := req.RequestWith(m.life, m.client)
	if err == nil {
		err = errors.New("the brokers did not answer for this partition")
	}
	for tp := range commits {
		out[tp] = err
	}
	if resp == nil {
		return out
	}
	for _, t := range resp.Topics {
		name := t.Topic
		if name == "" { // since version 10 topics go by their ids
			name = names[t.TopicID]
		}
		for _, p := range t.Partitions {
			if tp := (TP{name, p.Partition}); out[tp] != nil {
				out[tp] = commitError(p.ErrorCode)
			}
		}
	}
	return out
}

func commitError(code int16) error {
	err := kerr.ErrorForCode(code)
	switch {
	case errors.Is(err, kerr.UnknownMemberID), errors.Is(err, kerr.FencedInstanceID):
		return fmt.Errorf("%w: %w", ErrFenced, err)
	case errors.Is(err, kerr.OffsetMetadataTooLarge):
		return fmt.Errorf("%w: %w", ErrMetadataTooLarge, err)
	}
	return err
}
