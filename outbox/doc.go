// SPDX-License-Identifier: Apache-2.0

// Package outbox writes events into a table of the service's own PostgreSQL, within the transaction that changes what
// the events tell of:
//
//	tx, err := db.BeginTx(ctx, nil)
//	...
//	_, err = tx.ExecContext(ctx, `UPDATE orders SET state = 'paid' WHERE id = $1`, order.ID)
//	...
//	_, err = outbox.PublishTx(ctx, tx, "orders.order.paid.v1", paid, autobus.WithKey(order.ID))
//	...
//	err = tx.Commit()
//
// Either both are there after the commit or neither is, and the service needs no bus while it works. The command
// autobus outbox run, beside it, relays the rows into the bus, in order per key, each under its id, and marks them once
// they are written.
//
// It owns the form of the table (Table.DDL) and how an event becomes a row. It refuses to know the relay, the network
// and the driver: it imports database/sql and nothing else of databases. With a driver of another kind, such as pgx
// without database/sql, Table.Insert gives the statement and its arguments.
//
// # Order
//
// Rows of one type and key are relayed in the order of their column seq, which the database gives out when the row is
// inserted. That is the order of the changes if a transaction holds the lock of what it changes when it inserts the
// row: after its UPDATE, or after a SELECT FOR UPDATE, not before. Transactions that change the same thing then wait
// for each other anyway.
package outbox
