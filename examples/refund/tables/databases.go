// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver sqlite
)

func countries() []string { return []string{"ru", "kz", "ua", "by"} }

// databases are those of the services, by name.
type databases map[string]*sql.DB

func open(dir string) (all databases, err error) {
	all = databases{}
	names := []string{"refund-tool", "payment", "fiscalization"}
	for _, country := range countries() {
		names = append(names, "bob-"+country)
	}
	for _, name := range names {
		file := filepath.Join(dir, name+".db")
		if all[name], err = sql.Open("sqlite", "file:"+file+"?mode=rw&_pragma=busy_timeout(10000)"); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (all databases) close() {
	for _, db := range all {
		_ = db.Close() // it was read only
	}
}

func (all databases) count(ctx context.Context, name, query string, args ...any) (n int, err error) {
	err = all[name].QueryRowContext(ctx, query, args...).Scan(&n)
	return n, err
}

// rows hands the rows of a query to f, each as text.
func (all databases) rows(ctx context.Context, name, query string, f func(row []string)) (err error) {
	rows, err := all[name].QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	for rows.Next() {
		row, to := make([]string, len(columns)), make([]any, len(columns))
		for i := range row {
			to[i] = &row[i]
		}
		if err := rows.Scan(to...); err != nil {
			return err
		}
		f(row)
	}
	return rows.Err()
}

// refund is what each service knows of one; empty = nothing.
type refund struct {
	order, country string
	bob, tool      string // id and status
	learned        string // BOB's steps, without its own
	amount         string // in Refund Tool
	paid, receipt  string // id and amount
	rejected       string // why
}

// refunds reads what all know, by order.
func (all databases) refunds(ctx context.Context) (map[string]*refund, error) {
	known := map[string]*refund{}
	of := func(order string) *refund {
		if known[order] == nil {
			known[order] = &refund{order: order}
		}
		return known[order]
	}
	var errs []error
	read := func(name, query string, f func(row []string)) { errs = append(errs, all.rows(ctx, name, query, f)) }
	for _, country := range countries() {
		read("bob-"+country, `SELECT order_id, coalesce(refund_id, '-') || ' ' || replace(status, 'receipt', 'refunded'),
				(SELECT coalesce(group_concat(status, ' '), '') FROM (SELECT status FROM history h
					WHERE h.order_id = refunds.order_id AND step > 0 ORDER BY step))
				FROM refunds JOIN statuses USING (order_id)`,
			func(row []string) { r := of(row[0]); r.country, r.bob, r.learned = country, row[1], row[2] })
	}
	read("refund-tool", `SELECT order_id, id || ' ' || status, id || ' ' || amount, coalesce(reason, '') FROM refunds`,
		func(row []string) { r := of(row[0]); r.tool, r.amount, r.rejected = row[1], row[2], row[3] })
	read("payment", `SELECT order_id, refund_id || ' ' || amount FROM payments`,
		func(row []string) { of(row[0]).paid = row[1] })
	read("fiscalization", `SELECT order_id, refund_id || ' ' || amount FROM receipts`,
		func(row []string) { of(row[0]).receipt = row[1] })
	return known, errors.Join(errs...)
}
