// SPDX-License-Identifier: Apache-2.0

// Command orders is the main service of the example: it takes orders, closes them and shows them, out of its own
// PostgreSQL. It also has a report, as such services do until the report has a place of its own. With -outbox each
// change writes an event into the table autobus_outbox in the same transaction; of the bus the service knows nothing.
package main

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver pgx
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	dsn := flag.String("dsn", "", "address of the database")
	ddl := flag.Bool("schema", false, "print the tables and end")
	outbox := flag.Bool("outbox", false, "write an event of each change")
	flag.Parse()
	if *ddl {
		fmt.Print(schema)
		return
	}
	if err := run(ctx, *dsn, *outbox); err != nil {
		fmt.Fprintln(os.Stderr, "orders:", err)
		os.Exit(1)
	}
}

//go:embed schema.sql
var schema string

// run serves until the context ends. The first line it prints is where.
func run(ctx context.Context, dsn string, outbox bool) error {
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(10)
	db.SetMaxIdleConns(10)
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := &service{db: db, outbox: outbox}
	server := &http.Server{Handler: s.routes(), ReadHeaderTimeout: 10 * time.Second}
	fmt.Printf("http://%s\n", l.Addr())
	go func() {
		<-ctx.Done()
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = server.Shutdown(end)
	}()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
