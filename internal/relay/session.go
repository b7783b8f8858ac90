// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/outbox"
)

const (
	databaseTime = 10 * time.Second // how long the database may take for one answer
	heartbeat    = 3 * time.Second  // between two looks at whether the session is there

	// Halves of the keys of advisory locks; the table's oid is the other half.
	workClass  = 0x6f757462 // "outb": who works on the table
	sleepClass = 0x6f757473 // "outs": he sleeps, and wants to be told of rows; the table's trigger knows it
)

// session is one connection to the database, and the table behind it.
type session struct {
	conn  *pgx.Conn
	table string
	oid   uint32
}

// open connects and looks at the table.
func open(ctx context.Context, cfg *pgx.ConnConfig, table outbox.Table) (*session, error) {
	if err := table.Check(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, databaseTime)
	defer cancel()
	cfg = cfg.Copy()
	if cfg.RuntimeParams["application_name"] == "" {
		cfg.RuntimeParams["application_name"] = "autobus outbox"
	}
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, databaseError(err)
	}
	s := &session{conn: conn, table: string(table)}
	if err := s.look(ctx); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// close says goodbye, which frees the lock at once.
func (s *session) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = s.conn.Close(ctx) // the database notices by itself where this fails
}

// columns are those the relay and the operator's commands use.
func columns() []string {
	return []string{"seq", "id", "type", "key", "data", "data_bytes", "content_type", "source", "subject", "time",
		"attributes", "created_at", "sent_at", "refused_at", "reason", "detail"}
}

// look finds the table and checks its form.
func (s *session) look(ctx context.Context) error {
	var oid *uint32
	if err := s.conn.QueryRow(ctx, "SELECT to_regclass($1)::oid", s.table).Scan(&oid); err != nil {
		return databaseError(err)
	}
	if oid == nil {
		return autobus.NewError(autobus.ReasonOutboxInvalid, "the database %s has no table %s",
			s.conn.Config().Database, s.table).
			WithHint("Make it with what autobus outbox ddl --table %s prints, or name the right --dsn and --table.", s.table)
	}
	s.oid = *oid
	rows, err := s.conn.Query(ctx, `SELECT c FROM unnest($1::text[]) WITH ORDINALITY AS want(c, n)
		WHERE NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = $2 AND attname = c AND attnum > 0
			AND NOT attisdropped) ORDER BY n`, columns(), s.oid)
	if err != nil {
		return databaseError(err)
	}
	missing, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return databaseError(err)
	}
	if len(missing) > 0 {
		return autobus.NewError(autobus.ReasonOutboxInvalid, "the table %s lacks the columns %s", s.table,
			strings.Join(missing, ", ")).
			WithHint("Compare it with what autobus outbox ddl --table %s prints.", s.table)
	}
	return nil
}

// guard makes the database notice within half a minute that this side is gone without a word, which frees the lock.
// That is longer than this side takes to notice that it lost the session.
func (s *session) guard(ctx context.Context) error {
	for _, set := range []string{"tcp_keepalives_idle = 15", "tcp_keepalives_interval = 5", "tcp_keepalives_count = 3",
		"tcp_user_timeout = 30000", "statement_timeout = 60000", "idle_in_transaction_session_timeout = 60000"} {
		if _, err := s.exec(ctx, "SET "+set); err != nil {
			return err
		}
	}
	_, err := s.exec(ctx, "LISTEN "+outbox.Channel)
	return err
}

// lock takes the table's lock for the time of the session, or reports that another has it. It does not wait in the
// database, where the wait would hold up vacuum.
func (s *session) lock(ctx context.Context) (ok bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, databaseTime)
	defer cancel()
	err = s.conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", s.key(workClass)).Scan(&ok)
	return ok, databaseError(err)
}

func (s *session) key(class int64) int64 { return class<<32 | int64(s.oid) }

// doze has the table's trigger notify from now on. It fails while a transaction is open that inserted rows and was not
// asked to: it will not tell of them.
func (s *session) doze(ctx context.Context) (ok bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, databaseTime)
	defer cancel()
	err = s.conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", s.key(sleepClass)).Scan(&ok)
	return ok, databaseError(err)
}

// awake ends what doze began.
func (s *session) awake(ctx context.Context) error {
	_, err := s.exec(ctx, "SELECT pg_advisory_unlock($1)", s.key(sleepClass))
	return err
}

func (s *session) exec(ctx context.Context, sql string, args ...any) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, databaseTime)
	defer cancel()
	tag, err := s.conn.Exec(ctx, sql, args...)
	return tag.RowsAffected(), databaseError(err)
}

// wait returns when the table's trigger says that there is something, or after d. Only what ends the session is an
// error.
func (s *session) wait(ctx context.Context, d time.Duration) (notified bool, err error) {
	waiting, cancel := context.WithTimeout(ctx, max(d, time.Millisecond))
	defer cancel()
	_, err = s.conn.WaitForNotification(waiting)
	if err != nil && waiting.Err() == nil || s.conn.IsClosed() {
		return false, databaseError(cmp.Or(err, errors.New("the connection is closed")))
	}
	notified = err == nil
	// One look serves all that was said until now.
	cancel()
	for err == nil {
		_, err = s.conn.WaitForNotification(waiting)
	}
	return notified, nil
}

// databaseError tells what retrying can mend from what it cannot. nil stays nil.
func databaseError(err error) error {
	if err == nil {
		return nil
	}
	if _, ours := errors.AsType[*autobus.Error](err); ours {
		return err
	}
	if wrong, ok := errors.AsType[pgx.ScanArgError](err); ok {
		return autobus.NewError(autobus.ReasonOutboxInvalid, "a column has another type: %s", oneLine(wrong)).WithCause(err)
	}
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return autobus.NewError(autobus.ReasonDatabaseUnreachable, "%s", oneLine(err)).WithCause(err)
	}
	said := fmt.Sprintf("%s (%s)", pg.Message, pg.Code)
	switch pg.Code[:min(2, len(pg.Code))] {
	case "08", "25", "40", "53", "55", "57", "58", "XX": // connections, standbys, conflicts, resources, faults of its own
		return autobus.NewError(autobus.ReasonDatabaseUnreachable, "the database says: %s", said).WithCause(err)
	}
	return autobus.NewError(autobus.ReasonDatabaseRefused, "the database says: %s", said).WithCause(err)
}

// oneLine is the text of an error of the driver, which likes to use several lines.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
