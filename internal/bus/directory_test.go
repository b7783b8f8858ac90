// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/autobus-io/autobus/internal/kafka"
)

// Another instance with this one's name is told, but not one that had it before and that Kafka has yet to miss.
func TestATwinIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		b := &Bus{cfg: Config{Instance: "a", Address: "h1:7070", Logger: slog.New(slog.NewTextHandler(&log, nil))}}
		d := newDirectory(b)
		told := func() int { return strings.Count(log.String(), "address=h2:7070") }
		members := []kafka.GroupMember{{ClientID: kafka.InstanceID("a", "h1:7070")},
			{ClientID: kafka.InstanceID("a", "h2:7070")}, {ClientID: kafka.InstanceID("b", "h3:7070")}}
		for _, step := range []struct {
			after time.Duration
			want  int
		}{{0, 0}, {14 * time.Second, 0}, {time.Second, 1}, {time.Second, 1}, {10 * time.Minute, 2}} {
			time.Sleep(step.after)
			if found := d.learn(members); len(found) != 1 {
				t.Fatalf("others: %v", found)
			}
			if told() != step.want {
				t.Errorf("after %s more it was told %d times, want %d:\n%s", step.after, told(), step.want, &log)
			}
		}
		if strings.Contains(log.String(), "h1:7070") {
			t.Errorf("an instance is its own twin:\n%s", &log)
		}
	})
}
