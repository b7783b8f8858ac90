// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/stdlib"

	"github.com/autobus-io/autobus/internal/sink"
)

// load adds rows by COPY in its text form: the server reads each value as the column's type, whatever that is, and its
// complaint has the SQLSTATE that an INSERT would have had.
func load(ctx context.Context, c *sql.Conn, table string, columns []string, rows [][]any) error {
	query := "COPY " + table + ` ("` + strings.Join(columns, `", "`) + `") FROM STDIN`
	return c.Raw(func(driver any) error {
		conn, ok := driver.(*stdlib.Conn)
		if !ok {
			return fmt.Errorf("a connection of type %T cannot COPY", driver)
		}
		_, err := conn.Conn().PgConn().CopyFrom(ctx, &lines{rows: rows}, query)
		return err
	})
}

// lines gives rows as lines of COPY, some at a time.
type lines struct {
	rows [][]any
	buf  []byte
	at   int
}

const linesAtOnce = 32 << 10

func (l *lines) Read(p []byte) (int, error) {
	if l.at == len(l.buf) {
		l.buf, l.at = l.buf[:0], 0
		for len(l.rows) > 0 && len(l.buf) < linesAtOnce {
			l.buf = appendLine(l.buf, l.rows[0])
			l.rows = l.rows[1:]
		}
		if len(l.buf) == 0 {
			return 0, io.EOF
		}
	}
	n := copy(p, l.buf[l.at:])
	l.at += n
	return n, nil
}

func appendLine(b []byte, row []any) []byte {
	for i, v := range row {
		if i > 0 {
			b = append(b, '\t')
		}
		switch v := v.(type) {
		case nil:
			b = append(b, `\N`...)
		case int64:
			b = strconv.AppendInt(b, v, 10)
		case float64:
			b = strconv.AppendFloat(b, v, 'g', -1, 64)
		case bool:
			b = strconv.AppendBool(b, v)
		case time.Time:
			b = v.AppendFormat(b, "2006-01-02 15:04:05.999999999Z07:00")
		case string:
			b = appendEscaped(b, v)
		case sink.Decimal:
			b = append(b, v...)
		case json.RawMessage:
			b = appendEscaped(b, string(v))
		case []byte:
			b = append(b, `\\x`...)
			b = hex.AppendEncode(b, v)
		default:
			b = appendEscaped(b, fmt.Sprint(v))
		}
	}
	return append(b, '\n')
}

func appendEscaped(b []byte, s string) []byte {
	if !strings.ContainsAny(s, "\\\t\n\r") {
		return append(b, s...)
	}
	for i := range len(s) {
		switch s[i] {
		case '\\':
			b = append(b, `\\`...)
		case '\t':
			b = append(b, `\t`...)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		default:
			b = append(b, s[i])
		}
	}
	return b
}
