// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/autobus-io/autobus"
)

func all(l *lines) (out []string, end error) {
	for {
		line, err := l.next(true)
		switch {
		case errors.Is(err, errLong):
			out = append(out, "<long>")
		case err != nil:
			return out, err
		default:
			out = append(out, string(line))
		}
	}
}

func TestLines(t *testing.T) {
	long := strings.Repeat("x", 11)
	for _, c := range []struct {
		in   string
		want []string
	}{
		{"", nil},
		{"\n", []string{""}},
		{"a", []string{"a"}},
		{"a\nb\n", []string{"a", "b"}},
		{" a\t\r\n\r\n b", []string{"a", "", "b"}},
		{long[1:] + "\n", []string{long[1:]}},
		{long + "\na\n", []string{"<long>", "a"}},
		{"a\n" + long + long, []string{"a", "<long>"}},
		{long + long + long + "\n\n" + long + "\nb", []string{"<long>", "", "<long>", "b"}},
	} {
		for name, r := range map[string]io.Reader{
			"at once": strings.NewReader(c.in), "by bytes": iotest.OneByteReader(strings.NewReader(c.in)),
			"with the error": iotest.DataErrReader(strings.NewReader(c.in)),
		} {
			got, err := all(&lines{r: r, max: 10})
			if !slices.Equal(got, c.want) || !errors.Is(err, io.EOF) {
				t.Errorf("%q %s: got %q, %v", c.in, name, got, err)
			}
		}
	}
}

func TestLinesDoNotWait(t *testing.T) {
	r, w := io.Pipe()
	l := &lines{r: r, max: 10}
	go func() {
		_, _ = w.Write([]byte("a\nb\nc"))
		_, _ = w.Write([]byte("c\n"))
		_ = w.CloseWithError(errors.New("broken"))
	}()
	if a, err := l.next(true); string(a) != "a" || err != nil {
		t.Fatalf("%q %v", a, err)
	}
	if b, err := l.next(false); string(b) != "b" || err != nil {
		t.Fatalf("%q %v", b, err)
	}
	if c, err := l.next(false); !errors.Is(err, errNotYet) {
		t.Fatalf("half a line was given out: %q %v", c, err)
	}
	if c, err := l.next(true); string(c) != "cc" || err != nil {
		t.Fatalf("%q %v", c, err)
	}
	if d, err := l.next(true); err == nil || errors.Is(err, io.EOF) {
		t.Fatalf("a broken stream gave %q %v", d, err)
	}
}

// A line that breaks off is not an event.
func TestLinesDropABrokenLine(t *testing.T) {
	l := &lines{r: io.MultiReader(strings.NewReader("a\n{\"b\""), iotest.ErrReader(io.ErrUnexpectedEOF)), max: 10}
	got, err := all(l)
	if !slices.Equal(got, []string{"a"}) || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%q %v", got, err)
	}
}

func FuzzLines(f *testing.F) {
	f.Add([]byte("a\n\r\n bb \nccccccccccccccccc\nd"), 3)
	f.Add([]byte(strings.Repeat("x", 200_000)+"\n"), 70_000)
	f.Fuzz(func(t *testing.T, in []byte, piece int) {
		const most = 16
		var want []string
		rest := in
		for len(rest) > 0 {
			line, after, _ := bytes.Cut(rest, []byte{'\n'})
			if len(line) > most {
				want = append(want, "<long>")
			} else {
				want = append(want, string(bytes.Trim(line, " \t\r")))
			}
			rest = after
		}
		got, err := all(&lines{r: &pieces{rest: in, n: 1 + max(piece, -piece)%100_000}, max: most})
		if !slices.Equal(got, want) || !errors.Is(err, io.EOF) {
			t.Errorf("got %q, %v\nwant %q", got, err, want)
		}
	})
}

// pieces reads at most n bytes at a time.
type pieces struct {
	rest []byte
	n    int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), max(p.n, 1))], p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

// unending is a line without an end.
type unending struct{ read int }

func (u *unending) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '['
	}
	u.read += len(p)
	return len(p), nil
}

func TestALineWithoutAnEndBreaksTheStream(t *testing.T) {
	r := &unending{}
	l := lines{r: io.MultiReader(strings.NewReader("a\n"), r), max: 100}
	if line, err := l.next(true); string(line) != "a" || err != nil {
		t.Fatalf("%q, %v", line, err)
	}
	for range 2 {
		var e *autobus.Error
		if _, err := l.next(true); !errors.As(err, &e) || e.Reason != autobus.ReasonEventTooLarge {
			t.Fatal(err)
		}
	}
	if r.read < endless || r.read > endless+2*chunk {
		t.Errorf("%d bytes were read", r.read)
	}
}
