// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"bytes"
	"errors"
	"io"
	"time"

	"github.com/autobus-io/autobus"
)

var (
	errNotYet = errors.New("no whole line has come yet")
	errLong   = errors.New("the line is too long")
)

// The buffer grows from least to chunk with a stream that fills it: most streams are idle most of the time.
const (
	least = 8 << 10
	chunk = 64 << 10
)

// endless is how much of an over-long line is read in search of its end. Beyond it the stream breaks: a client that
// sends no newline would keep a processor busy for as long as it likes.
const endless = 16 << 20

// lines splits a stream into lines without waiting for more than it has. A line is a part of the buffer, which is
// never written again where a line was given out: it may be kept.
type lines struct {
	r    io.Reader
	max  int                        // bytes of a line without its end
	wait func(begun time.Time)      // called before each read; begun is when the current line began, zero = it did not
	hold func(n int) *autobus.Error // told how large a line the buffer holds beyond a chunk; nil = nobody asks

	buf  []byte
	size int   // of the buffer without the line that it began with
	from int   // where the current line begins
	seen int   // no line ends between from and here
	long bool  // the current line is already over max; its bytes are dropped
	lost int   // how many of them were
	err  error // what ended the stream

	begun time.Time
}

// next gives the next line without white space around it. With wait it reads until there is one; without, it gives
// errNotYet instead of reading. An over-long line is errLong, once, and the next call goes on behind it, unless it
// is endless. The last line needs no newline when the stream ends in io.EOF.
func (l *lines) next(wait bool) ([]byte, error) {
	for {
		if i := bytes.IndexByte(l.buf[l.seen:], '\n'); i >= 0 {
			end := l.seen + i
			line := l.buf[l.from:end:end]
			l.from, l.seen = end+1, end+1
			return l.give(line)
		}
		l.seen = len(l.buf)
		if l.long || len(l.buf)-l.from > l.max {
			l.long = true
			l.lost += len(l.buf) - l.from
			l.buf, l.seen = l.buf[:l.from], l.from
			if l.err == nil && l.lost > endless {
				l.err = autobus.NewError(autobus.ReasonEventTooLarge, "%d bytes of a line have come, and not yet its end", l.lost)
			}
		}
		if l.err != nil {
			rest := l.buf[l.from:]
			l.from = len(l.buf)
			if errors.Is(l.err, io.EOF) && (l.long || len(rest) > 0) {
				return l.give(rest)
			}
			return nil, l.err
		}
		if !wait {
			return nil, errNotYet
		}
		l.fill()
	}
}

func (l *lines) give(line []byte) ([]byte, error) {
	l.begun, l.lost = time.Time{}, 0
	if l.long || len(line) > l.max {
		l.long = false
		return nil, errLong
	}
	return bytes.Trim(line, " \t\r"), nil
}

func (l *lines) fill() {
	if cap(l.buf)-len(l.buf) < l.size/8 || l.buf == nil {
		part := l.buf[l.from:]
		l.size = min(max(least, 2*l.size), chunk)
		size := len(part) + max(l.size, len(part))
		if l.hold != nil {
			if full := l.hold(size - chunk); full != nil {
				l.err = full
				return
			}
		}
		l.buf = append(make([]byte, 0, size), part...)
		l.from, l.seen = 0, len(part)
	}
	if l.begun.IsZero() && (l.long || l.from < len(l.buf)) {
		l.begun = time.Now()
	}
	if l.wait != nil {
		l.wait(l.begun)
	}
	var n int
	n, l.err = l.r.Read(l.buf[len(l.buf):cap(l.buf)])
	l.buf = l.buf[:len(l.buf)+n]
}
