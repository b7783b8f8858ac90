// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net/http"
	"sync"
	"time"
)

// statement is the slow query: what each day brought a merchant. What an order is now stands in its newest change, so
// it sorts out the changes of all orders before it looks for the merchant's. The comment is how it is found again in
// pg_stat_statements.
const statement = `SELECT /* report */ o.day::text, count(*),
		count(*) FILTER (WHERE c.status = 'completed'), count(*) FILTER (WHERE c.status = 'cancelled'),
		coalesce(sum(o.total) FILTER (WHERE c.status = 'completed'), 0)
	FROM orders o
	JOIN (SELECT DISTINCT ON (order_id) order_id, status FROM order_changes ORDER BY order_id, version DESC) c
		ON c.order_id = o.id
	WHERE o.merchant = $1 AND o.day BETWEEN $2::text::date AND $3::text::date GROUP BY o.day ORDER BY o.day`

// report answers with a line a day: day, orders placed, completed, cancelled, and the total of the completed ones.
func (s *service) report(w http.ResponseWriter, r *http.Request) {
	defer s.spent.since("report", time.Now())
	q := r.URL.Query()
	rows, err := s.db.QueryContext(r.Context(), statement, q.Get("merchant"), q.Get("from"), q.Get("to"))
	if err != nil {
		answer(w, 0, err)
		return
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var day string
		var placed, completed, cancelled, total int
		if err := rows.Scan(&day, &placed, &completed, &cancelled, &total); err != nil {
			panic(http.ErrAbortHandler) // half an answer must not look like a whole one
		}
		fmt.Fprintln(w, day, placed, completed, cancelled, total)
	}
	if rows.Err() != nil {
		panic(http.ErrAbortHandler)
	}
}

// spent sums how long calls waited for the database, by what they do. The demo asks it where the server has no
// pg_stat_statements.
type spent struct {
	mu  sync.Mutex
	sum map[string]time.Duration
}

func (s *spent) since(what string, began time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sum == nil {
		s.sum = map[string]time.Duration{}
	}
	s.sum[what] += time.Since(began)
}

// serve answers with what was spent since it was asked last: milliseconds of all calls, of reports, and
// nothing of the outbox, which only the database can tell apart.
func (s *spent) serve(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	report, all := s.sum["report"], time.Duration(0)
	for _, d := range s.sum {
		all += d
	}
	s.sum = nil
	fmt.Fprintf(w, "%.3f|%.3f|\n", ms(all), ms(report))
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
