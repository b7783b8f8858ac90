// SPDX-License-Identifier: Apache-2.0

package store

import "context"

// What a database does to find out, row by row, whether there is a row of the key already costs as much as putting the
// row in. Where keys are mostly new, as in a backlog or in what only happens once, rows are put in without asking; the
// primary key refuses all of them if one was there, of which the database's log tells, and then they are put in the
// careful way.
const (
	freshRows = 200 // fewer are not worth it
	freshRest = 64  // how many batches go the careful way at most, after some that had to
)

// guess tells whether keys are likely to be new, by what became of the last guesses.
type guess struct{ rest, pause int }

func (g *guess) likely() bool {
	if g.rest > 0 {
		g.rest--
		return false
	}
	return true
}

// was tells how the guess turned out. One that was wrong leaves dead rows, so wrong ones get rare quickly.
func (g *guess) was(right bool) {
	if right {
		g.pause /= 2
		return
	}
	g.pause = min(2*g.pause+1, freshRest)
	g.rest = g.pause
}

// putFresh puts the rows of the stage in if none is there, and tells how many of the statements of puts that spares.
func (s *Store) putFresh(ctx context.Context, rows int) (spared int, err error) {
	if s.sql.fresh == "" || rows < freshRows || !s.guess.likely() {
		return 0, nil
	}
	if _, err := s.conn.ExecContext(ctx, "SAVEPOINT fresh"); err != nil {
		return 0, err
	}
	if err = s.all(ctx, []string{s.sql.fresh}); err == nil { // the savepoint goes with that of all rows
		s.guess.was(true)
		return 1, nil
	}
	if !isData(s.told(err)) {
		return 0, err
	}
	s.guess.was(false) // or a row is at fault for another reason, which the careful way tells
	_, err = s.conn.ExecContext(ctx, "ROLLBACK TO SAVEPOINT fresh")
	return 0, err
}

// fresh puts rows in of which none is there. It leaves it to the primary key to find out, so it begins with something
// that does nothing but fail where somebody took the key away, as the careful way does.
func (b *upsertSQL) fresh() string {
	keys := b.keysOf("")
	return "WITH keyed AS (INSERT INTO " + b.table + " (" + keys + ") SELECT " + keys + " FROM " + b.table +
		" WHERE false ON CONFLICT (" + keys + ") DO NOTHING) " + b.insert()
}
