// SPDX-License-Identifier: Apache-2.0

package sink

import (
	"errors"
	"testing"

	"pgregory.net/rapid"
)

func TestBisectWritesTheGoodOnesAndNamesTheBad(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 200).Draw(t, "rows")
		wrong := map[string]bool{}
		rows := make([]Row, n)
		for i := range rows {
			rows[i].Key = string(rune('a' + i))
			if rapid.IntRange(0, 20).Draw(t, "bad") == 0 {
				wrong[rows[i].Key] = true
			}
		}
		written := map[string]int{}
		bad, err := Bisect(rows, 0, func(part []Row) error {
			for _, r := range part {
				if wrong[r.Key] {
					return &DataError{Bad: Bad{State: "22003"}}
				}
			}
			for _, r := range part {
				written[r.Key]++
			}
			return nil
		})
		if _, many := errors.AsType[*TooManyBad](err); many {
			if !tooMany(len(wrong), n) {
				t.Fatalf("%d of %d were too many", len(wrong), n)
			}
			return
		}
		if err != nil || len(bad) != len(wrong) || len(written) != n-len(wrong) {
			t.Fatalf("%d bad of %d, %d written of %d, error %v", len(bad), len(wrong), len(written), n, err)
		}
		for _, r := range bad {
			if !wrong[r.Key] || r.Bad == nil {
				t.Fatalf("%q is not bad", r.Key)
			}
		}
	})
}

func TestBisectStopsAtAnErrorThatIsNoRows(t *testing.T) {
	away := errors.New("connection refused")
	tries := 0
	if _, err := Bisect(make([]Row, 8), 0, func([]Row) error { tries++; return away }); !errors.Is(err,
		away) || tries != 1 {
		t.Errorf("%d tries, error %v", tries, err)
	}
}

// A few bad rows are no drift, however little comes; a share of a whole batch is.
func TestTooMany(t *testing.T) {
	for _, c := range []struct {
		bad, rows int
		want      bool
	}{{1, 1, false}, {9, 9, false}, {10, 10, true}, {10, 50, false}, {11, 50, true}, {200, 1000, false}} {
		if got := tooMany(c.bad, c.rows); got != c.want {
			t.Errorf("%d of %d: got %v", c.bad, c.rows, got)
		}
	}
}
