// SPDX-License-Identifier: Apache-2.0

// Package relay relays the rows of an outbox, a table of a service's own PostgreSQL, into the bus: in order per type
// and key, each row's id as the event's id, a row marked only after the bus said that its event is written.
//
// It owns the relay (Relay.Run) and what an operator asks of the table (Table). The table's form is the public package
// outbox's. It refuses to know specs, Kafka and how the bus is reached: it is an ordinary client of an autobus.Bus that
// it is handed.
//
// # One relay at a time
//
// A relay works under an advisory lock of its database session; others stand by. All it does to the table goes over
// that one session, so a relay that lost the lock cannot mark a row. While a batch is with the bus the relay asks the
// database every few seconds whether the session is there, and gives up its connection to the bus at once when it is
// not; the database, told so at the start, waits longer than that before it takes a silent client for dead. So the
// next relay begins when the one before it is silent.
//
// # One batch at a time
//
// A round reads the oldest waiting rows, publishes them as one batch, waits for all outcomes and marks. The next round
// reads the table anew: there is no cursor that a transaction which commits late could fall behind, and a row without
// an outcome is simply still there, to be sent again under its id.
package relay
