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
	var b bytes.Buffer
	// What the client announces is not yet sent, so it buys only a little memory ahead.
	b.Grow(int(min(max(r.ContentLength, 0), 8<<10)) + bytes.MinRead)
	if _, err := b.ReadFrom(body); err != nil {
		return nil, BodyError(r, err, tooLarge)
	}
	return b.Bytes(), nil
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
