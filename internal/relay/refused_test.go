// SPDX-License-Identifier: Apache-2.0

package relay_test

import (
	"fmt"
	"strings"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/autobustest"
	"github.com/autobus-io/autobus/internal/relay"
)

// table opens the table as an operator's command does.
func (g *rig) table() *relay.Table {
	g.Helper()
	t, err := relay.OpenTable(g.Context(), g.config().Database, "autobus_outbox")
	if err != nil {
		g.Fatal(err)
	}
	g.Cleanup(t.Close)
	return t
}

func refusedHolds(g *rig) {
	stop := g.bus.FailPublish(with(2), autobustest.Refuse(autobus.ReasonDataInvalid))
	g.insert(placed, "a", 1, 2, 3)
	g.insert(placed, "b", 1)
	g.insert(paid, "a", 1) // another type, so another order
	g.run()
	g.await(refused, "1")
	g.await(unsent, "2")
	g.insert(placed, "a", 4)
	g.insert(placed, "b", 5)
	g.await(unsent, "3")
	g.want(placed, "a", "1")
	g.want(placed, "b", "1 5")
	g.want(paid, "a", "1")

	t := g.table()
	all, err := t.Refused(g.Context(), relay.Pick{})
	if err != nil || len(all) != 1 {
		g.Fatalf("refused rows: %+v, %v", all, err)
	}
	r := all[0]
	if r.Reason != autobus.ReasonDataInvalid || r.Type != placed || r.Key == nil || *r.Key != "a" || r.Held != 2 ||
		r.Detail == "" {
		g.Errorf("the refused row is %+v", r)
	}
	// Tried again while nothing was mended, it is refused again, in its old place.
	if n, err := t.Retry(g.Context(), relay.Pick{Reason: "data_invalid"}); n != 1 || err != nil {
		g.Fatalf("%d retried, %v", n, err)
	}
	g.await(refused, "1")
	g.want(placed, "a", "1")
	// Mended, it and what waited behind it go in order.
	stop()
	if n, err := t.Retry(g.Context(), relay.Pick{Seqs: []int64{r.Seq}}); n != 1 || err != nil {
		g.Fatalf("%d retried, %v", n, err)
	}
	g.await(unsent, "0")
	g.want(placed, "a", "1 2 3 4")

	// Dropped, it frees what is behind it.
	stop = g.bus.FailPublish(with(6), autobustest.Refuse(autobus.ReasonDataInvalid).Times(1))
	defer stop()
	g.insert(placed, "a", 6, 7)
	g.await(refused, "1")
	if n, err := t.Drop(g.Context(), relay.Pick{Type: "other"}); n != 0 || err != nil {
		g.Fatalf("%d dropped, %v", n, err)
	}
	if n, err := t.Drop(g.Context(), relay.Pick{}); n != 1 || err != nil {
		g.Fatalf("%d dropped, %v", n, err)
	}
	g.await(unsent, "0")
	g.want(placed, "a", "1 2 3 4 7")
}

func refusedSkips(g *rig) {
	g.bus.FailPublish(with(2), autobustest.Refuse(autobus.ReasonIDConflict))
	g.insert(placed, "a", 1, 2, 3)
	g.run(func(c *relay.Config) { c.OnRefused = relay.Skip })
	g.await(unsent, "1")
	g.await(refused, "1")
	g.want(placed, "a", "1 3")
}

// Rows that only the table can hold are set aside as if the bus had refused them, and hold their key.
func unsendable(g *rig) {
	g.sql(`INSERT INTO autobus_outbox (type, key, data, attributes) VALUES
		('` + placed + `', 'a', '{"n": 1}', '{"list": [1]}'), ('` + placed + `', 'a', '{"n": 2}', NULL),
		('` + placed + `', 'b', '{"n": 3}', '{"autobus-x": "1"}'), ('no type', 'c', '{"n": 4}', NULL)`)
	g.insert(placed, "d", 5)
	g.run()
	g.await(refused, "3")
	g.await(unsent, "4")
	g.want(placed, "a", "")
	g.want(placed, "d", "5")
	g.await("SELECT string_agg(reason, ' ' ORDER BY seq) FROM autobus_outbox WHERE refused_at IS NOT NULL",
		"event_invalid header_reserved type_invalid")
}

// A type whose surroundings are wrong waits, with more rows than a batch holds in front of everybody else.
func waitingHoldsUpNobody(g *rig) {
	stop := g.bus.FailPublish(of(paid), autobustest.Refuse(autobus.ReasonTypeUnknown))
	g.sql(fmt.Sprintf(`INSERT INTO autobus_outbox (type, key, data)
		SELECT '%s', 'k' || n, json_build_object('n', n) FROM generate_series(1, 100) n`, paid))
	g.insert(placed, "a", 1, 2)
	g.run(func(c *relay.Config) { c.Batch = 10 })
	g.await("SELECT count(*) FROM autobus_outbox WHERE sent_at IS NOT NULL", "2")
	g.await(refused, "0")
	st, err := g.table().Status(g.Context())
	if err != nil || len(st.Groups) != 1 || st.Groups[0].Reason != autobus.ReasonTypeUnknown || st.Groups[0].Refused {
		g.Errorf("the status is %+v, %v", st, err)
	}
	stop() // the spec came: the relay finds out by itself
	g.await(unsent, "0")
	if n := strings.Count(g.said.String(), "tried again"); n > 20 {
		g.Errorf("the log tells of one type %d times", n)
	}
}

func failingLaneKeepsOrder(g *rig) {
	g.bus.FailPublish(with(1), autobustest.Refuse(autobus.ReasonCapacity).Times(3))
	g.insert(placed, "a", 1, 2)
	g.insert(placed, "", 11)
	g.bus.FailPublish(with(11), autobustest.Refuse(autobus.ReasonCapacity).Times(2))
	g.insert(placed, "", 12)
	g.insert(placed, "b", 21, 22)
	g.run()
	g.await(unsent, "0")
	g.want(placed, "a", "1 2")
	g.want(placed, "b", "21 22")
	// Whatever key the bus may find in the data of rows without one, their order is kept.
	g.want(placed, "", "11 12")
}

func status(g *rig) {
	t := g.table()
	st, err := t.Status(g.Context())
	if err != nil || st.Pending+st.Held+st.Refused != 0 || st.Lag != 0 || st.Worker != nil || len(st.Groups) != 0 {
		g.Errorf("the status of an empty table is %+v, %v", st, err)
	}
	g.bus.FailPublish(with(1), autobustest.Refuse(autobus.ReasonDataInvalid))
	g.insert(placed, "a", 1, 2, 3)
	g.run()
	g.await(refused, "1")
	st, err = t.Status(g.Context())
	if err != nil || st.Pending != 2 || st.Held != 2 || st.Refused != 1 || st.Lag <= 0 || st.Worker == nil ||
		len(st.Groups) != 1 || st.Groups[0] != (relay.Group{Type: placed, Reason: "data_invalid", Refused: true, Rows: 1}) {
		g.Errorf("the status is %+v, %v", st, err)
	}
}
