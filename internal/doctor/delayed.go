// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/autobus-io/autobus/internal/delay"
	"github.com/autobus-io/autobus/internal/kafka"
)

// delayed looks for events that were to be published later, that nobody works on, and that their topic deletes soon. No
// instance may be there to tell.
func (l *list) delayed(ctx context.Context, t Target, topics map[string]kafka.Topic) {
	there := false
	for name := range topics {
		there = there || strings.HasPrefix(name, delayTopics)
	}
	if !there {
		return
	}
	const where = "delayed events"
	found, err := delay.Neglected(ctx, t.Log, time.Now())
	if err != nil {
		l.skip(CheckExpiry, where, "could not be looked at: "+err.Error(), "let the bus read the topics of "+delay.Group)
		return
	}
	for _, n := range found {
		l.add(Problem, CheckExpiry, n.Topic, fmt.Sprintf(
			"nobody works on %d delayed %s in it, and retention deletes them from %s on: they will never be published", n.Count,
			plural(int(n.Count), "event"), n.From.Format(time.DateTime)),
			"start an instance, which publishes them at once; if one runs, its log says what stops it; raise retention.ms of "+
				n.Topic+" meanwhile")
	}
	if len(found) == 0 {
		l.ok(CheckExpiry, where, "none is left undone for so long that it is deleted")
	}
}
