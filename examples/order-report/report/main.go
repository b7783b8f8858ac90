// SPDX-License-Identifier: Apache-2.0

// Command report is the report service, all of it. Its table order_report is kept by a sink, see order-report.yaml; it
// knows nothing of the bus. The database is PostgreSQL or, where -dsn begins with sqlite:, a file of SQLite.
package main

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver pgx
	_ "modernc.org/sqlite"             // the driver sqlite
)

const index = `CREATE INDEX IF NOT EXISTS order_report_merchant_day ON order_report (merchant, day)`

const statement = `SELECT CAST(day AS text), count(*),
		count(*) FILTER (WHERE status = 'completed'), count(*) FILTER (WHERE status = 'cancelled'),
		coalesce(sum(total) FILTER (WHERE status = 'completed'), 0)
	FROM order_report WHERE merchant = $1 AND day BETWEEN $2 AND $3 GROUP BY day ORDER BY day`

func main() {
	dsn := flag.String("dsn", "", "address of the database")
	flag.Parse()
	if err := run(*dsn); err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
}

// run serves until it is killed. The first line it prints is where.
func run(dsn string) error {
	driver := "pgx"
	if file, ok := strings.CutPrefix(dsn, "sqlite:"); ok {
		driver, dsn = "sqlite", "file:"+file+"?_pragma=busy_timeout(10000)"
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		return err
	}
	if _, err := db.ExecContext(context.Background(), index); err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("http://%s\n", l.Addr())
	mux := http.NewServeMux()
	mux.HandleFunc("GET /report", func(w http.ResponseWriter, r *http.Request) { report(w, r, db) })
	return (&http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}).Serve(l)
}

// report answers with a line a day: day, orders placed, completed, cancelled, and the total of the completed ones.
func report(w http.ResponseWriter, r *http.Request, db *sql.DB) {
	q := r.URL.Query()
	rows, err := db.QueryContext(r.Context(), statement, q.Get("merchant"), q.Get("from"), q.Get("to"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
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
