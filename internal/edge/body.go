// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/autobus-io/autobus"
)

// A body must bring least bytes in each grace period, or come to its end: 1 KiB/s. Less is a client that holds a
// connection on purpose, or one that would time out anyway.
const (
	grace = 5 * time.Second
	least = 5 << 10
)

// ReadBody reads a whole body of at most limit bytes, at the least rate. tooLarge is the reason for more.
func ReadBody(w http.ResponseWriter, r *http.Request, limit int64, tooLarge autobus.Reason) ([]byte, *autobus.Error) {
	if r.ContentLength > limit {
		return nil, autobus.NewError(tooLarge, "the body has %d bytes, this path reads at most %d", r.ContentLength, limit)
	}
	body := &paced{r: http.MaxBytesReader(w, r.Body, limit), rc: http.NewResponseController(w),
		intake: IntakeOf(r.Context())}
	// What the client announces is not yet sent, so it buys only a little memory ahead.
	raw, err := readPieces(body, int(min(max(r.ContentLength, 0), leastPiece))+bytes.MinRead)
	if err != nil {
		return nil, BodyError(r, err, tooLarge)
	}
	return raw, nil
}

// Sizes of the pieces in which a body is read.
const (
	leastPiece = 8 << 10
	mostPiece  = 256 << 10
)

// readPieces reads everything. A buffer that doubles would hold up to twice of what came, and leave as much behind each
// time it grows; a body that never ends must not cost more than it sent.
func readPieces(r io.Reader, first int) ([]byte, error) {
	var pieces [][]byte
	piece := make([]byte, 0, first)
	for {
		n, err := r.Read(piece[len(piece):cap(piece)])
		piece = piece[:len(piece)+n]
		switch {
		case errors.Is(err, io.EOF) && pieces == nil:
			return piece, nil
		case errors.Is(err, io.EOF):
			return bytes.Join(append(pieces, piece), nil), nil
		case err != nil:
			return nil, err
		case len(piece) == cap(piece):
			pieces = append(pieces, piece)
			piece = make([]byte, 0, min(max(2*cap(piece), leastPiece), mostPiece))
		}
	}
}

// BodyError tells why reading the request's body failed.
func BodyError(r *http.Request, err error, tooLarge autobus.Reason) *autobus.Error {
	var large *http.MaxBytesError
	var cause *autobus.Error
	switch {
	case errors.As(context.Cause(r.Context()), &cause), errors.As(err, &cause):
		return cause
	case errors.As(err, &large):
		return autobus.NewError(tooLarge, "the body has more than the %d bytes that this path reads", large.Limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return autobus.NewError(autobus.ReasonBodyUnreadable, "the body came slower than %d bytes in %s", least, grace)
	}
	return autobus.NewError(autobus.ReasonBodyUnreadable, "the body broke off").WithCause(err)
}

// paced sets a read deadline before each read, by the least rate, and counts what lies in memory.
type paced struct {
	r      io.Reader
	rc     *http.ResponseController
	since  time.Time
	got    int // since then
	all    int
	intake *Intake
}

func (p *paced) Read(b []byte) (int, error) {
	if p.since.IsZero() || p.got >= least {
		p.since, p.got = time.Now(), 0
		// Writers without deadlines exist in tests only.
		_ = p.rc.SetReadDeadline(p.since.Add(grace))
	}
	n, err := p.r.Read(b)
	p.got, p.all = p.got+n, p.all+n
	if full := p.intake.Hold(p.all); full != nil {
		err = full
	}
	if err != nil {
		// From here on net/http reads ahead to notice when the client leaves; a deadline would look the same.
		_ = p.rc.SetReadDeadline(time.Time{})
	}
	return n, err
}
