// SPDX-License-Identifier: Apache-2.0

package ws

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/autobus-io/autobus"
)

func TestAClientThatAnswersNoPingsIsDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus, calls := groups()
		c := dial(t, bubble(t, bus))
		c.send(`{"op":"subscribe","seq":1,"subscription":"x"}`)
		c.next()
		o := <-calls
		began := time.Now()
		// The client does not read any more, so its library sends no pong.
		<-o.ctx.Done()
		if took := time.Since(began); took < pingEvery || took > pingEvery+pongTime {
			t.Errorf("given up after %s", took)
		}
		if !errors.Is(context.Cause(o.ctx), autobus.ErrReaderDied) {
			t.Errorf("ended by %v", context.Cause(o.ctx))
		}
	})
}

func TestAClientThatOnlyListensLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus, calls := groups()
		c := dial(t, bubble(t, bus))
		c.send(`{"op":"subscribe","seq":1,"subscription":"x"}`)
		c.next()
		o := <-calls
		heard := make(chan got)
		go func() { heard <- c.next() }()
		<-time.After(time.Hour)
		o.Revoke([]autobus.Lease{"l"})
		if f := <-heard; f.Op != "revoke" {
			t.Errorf("%s", f)
		}
	})
}

// buffered takes writes before the other side reads them, as a real connection does.
type buffered struct {
	net.Conn
	out  chan []byte
	gone chan struct{}
	once sync.Once
}

func newBuffered(conn net.Conn) *buffered {
	b := &buffered{Conn: conn, out: make(chan []byte, 100), gone: make(chan struct{})}
	go func() {
		for {
			select {
			case p := <-b.out:
				if _, err := conn.Write(p); err != nil {
					return
				}
			case <-b.gone:
				return
			}
		}
	}()
	return b
}

func (b *buffered) Write(p []byte) (int, error) {
	b.out <- append([]byte(nil), p...)
	return len(p), nil
}

func (b *buffered) Close() error {
	b.once.Do(func() { close(b.gone) })
	return b.Conn.Close()
}

func TestAFrameThatTakesLongIsNoSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := &fakeBus{before: func(*autobus.Batch) error {
			<-time.After(2 * time.Minute)
			return nil
		}}
		s := bubble(t, bus)
		connect := s.dial
		s.dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := connect(ctx, network, addr)
			return newBuffered(conn), err
		}
		c := dial(t, s)
		c.send(publishFrame(1, event("1", "k")))
		if f := c.next(); !f.is("published", 1) {
			t.Errorf("%s", f)
		}
	})
}

func TestAReaderThatTakesNothingIsDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus, calls := groups()
		c := dial(t, bubble(t, bus))
		c.send(`{"op":"subscribe","seq":1,"subscription":"x"}`)
		c.next()
		o := <-calls
		began := time.Now()
		ds := []autobus.Delivery{{Event: autobus.Event{Type: "a.b.v1", Data: make([]byte, 100_000)}}}
		n := 0
		for ; o.ctx.Err() == nil; n++ {
			o.hand(o.ctx, ds) // waits once enough is unread
		}
		if took := time.Since(began); took != writeTime || !errors.Is(context.Cause(o.ctx), autobus.ErrReaderDied) {
			t.Errorf("ended after %s by %v", took, context.Cause(o.ctx))
		}
		if most := 2 + maxUnread/100_000; n > most {
			t.Errorf("%d deliveries of 133 KB were taken for a client that takes none, at most %d", n, most)
		}
	})
}

func TestCallbacksNeverWaitForTheReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus, calls := groups()
		c := dial(t, bubble(t, bus))
		c.send(`{"op":"subscribe","seq":1,"subscription":"x"}`)
		c.next()
		o := <-calls
		full := make(chan struct{})
		go func() {
			defer close(full)
			ds := make([]autobus.Delivery, 100)
			for i := range ds {
				ds[i].Data = make([]byte, 100_000)
			}
			o.hand(o.ctx, ds)
		}()
		synctest.Wait() // the handler waits
		began := time.Now()
		o.Revoke([]autobus.Lease{"l"})
		o.Lost(autobus.PositionLost{})
		o.Draining(time.Now())
		if took := time.Since(began); took > 0 {
			t.Errorf("they waited %s", took)
		}
		_ = c.conn.CloseNow()
		<-full
	})
}
