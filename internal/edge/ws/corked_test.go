// SPDX-License-Identifier: Apache-2.0

package ws

import (
	"bytes"
	"errors"
	"net"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// recorder notes each write.
type recorder struct {
	net.Conn
	writes   []string
	deadline time.Time
}

func (r *recorder) Write(p []byte) (int, error) {
	r.writes = append(r.writes, string(p))
	return len(p), nil
}

func (r *recorder) SetWriteDeadline(t time.Time) error {
	r.deadline = t
	return nil
}

func TestSmallFramesGoTogether(t *testing.T) {
	r := &recorder{}
	c := &corked{Conn: r}
	write := func(p string, more bool) {
		t.Helper()
		c.hold(more)
		if n, err := c.Write([]byte(p)); n != len(p) || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	}
	big := string(bytes.Repeat([]byte("x"), corkBytes))
	write("alone", false)
	write("a", true)
	write("b", true)
	write("c", false)
	write("d", true)
	write(big, true)
	write("e", true)
	write(big, false)
	write("f", false)
	if want := []string{"alone", "abc", "d", big, "e", big, "f"}; !slices.Equal(r.writes, want) {
		t.Errorf("%.20q", r.writes)
	}
	if c.held != nil {
		t.Error("the buffer is kept")
	}
}

func TestAWriteThatIsNotTakenEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		c := &corked{Conn: near}
		defer c.Close()
		time.Sleep(time.Hour)
		began := time.Now()
		if _, err := c.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != writeTime {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}
