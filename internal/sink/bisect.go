// SPDX-License-Identifier: Apache-2.0

package sink

import "errors"

// DataError is what a target's try says when the rows are at fault, not the database.
type DataError struct {
	Bad   Bad
	Cause error
}

func (e *DataError) Error() string { return e.Bad.State + ": " + e.Bad.Reason }

// Unwrap returns the database's own error.
func (e *DataError) Unwrap() error { return e.Cause }

// What share of bad rows means that something other than single rows is wrong. A few are always allowed: where little
// comes, one is a large share.
const (
	maxBadShare = 0.2
	fewBad      = 10
)

// tooMany reports whether so many bad rows among so many are no accident.
func tooMany(bad, rows int) bool { return bad >= fewBad && float64(bad) > maxBadShare*float64(rows) }

// CheckShare refuses a batch of so many rows of which too many are known to be bad before it is written.
func CheckShare(bad []Row, rows int) error {
	if tooMany(len(bad), rows) {
		return &TooManyBad{Bad: len(bad), Rows: rows, Example: *bad[0].Bad}
	}
	return nil
}

// Bisect tries to write rows and finds those that cannot be: try writes rows as a whole or leaves nothing of them, and
// says by a DataError that one of them is at fault. Those rows get their Bad; all others are written when it returns.
// It gives up early, with TooManyBad, when there are too many. already is how many of the batch, of which rows are
// the rest, were found bad before.
func Bisect(rows []Row, already int, try func([]Row) error) (bad []Row, err error) {
	all := len(rows) + already
	var search func([]Row) error
	search = func(part []Row) error {
		if len(part) == 0 {
			return nil
		}
		err := try(part)
		var data *DataError
		switch {
		case err == nil:
			return nil
		case !errors.As(err, &data):
			return err
		case len(part) == 1:
			part[0].Bad = &data.Bad
			bad = append(bad, part[0])
			if tooMany(len(bad)+already, all) {
				return &TooManyBad{Bad: len(bad) + already, Rows: all, Example: data.Bad}
			}
			return nil
		}
		half := len(part) / 2
		if err := search(part[:half]); err != nil {
			return err
		}
		return search(part[half:])
	}
	return bad, search(rows)
}

// TooManyBad says that a batch was not written, because its rows do not fit the table at all.
type TooManyBad struct {
	Bad, Rows int
	Example   Bad
}

func (e *TooManyBad) Error() string {
	return "too many rows of a batch cannot be written: " + e.Example.State + ": " + e.Example.Reason
}
