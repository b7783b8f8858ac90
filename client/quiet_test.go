// SPDX-License-Identifier: Apache-2.0

package client_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/client"
)

// pipes are a network in memory, so that time can be a bubble's.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	close  func()
}

func newPipes() *pipes {
	p := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	p.close = sync.OnceFunc(func() { close(p.closed) })
	return p
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.close()
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) connect(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.conns <- theirs:
		return ours, nil
	case <-p.closed:
	case <-ctx.Done():
	}
	return nil, net.ErrClosed
}

// bubble runs a test against a gateway in memory.
func bubble(t *testing.T, f func(t *testing.T, g *gateway, c func(...func(*client.Config)) *client.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		g := newGatewayOn(t, p)
		g.url = "http://gateway"
		f(t, g, func(change ...func(*client.Config)) *client.Client {
			return g.client(append(change, func(cfg *client.Config) { cfg.Dial = p.connect })...)
		})
	})
}

// TestSilentGateway: one that takes frames and answers nothing is left after answerTime, one that does not even read
// after writeTime, and another connection brings what it had.
func TestSilentGateway(t *testing.T) {
	for name, least := range map[string]time.Duration{
		"answers nothing": 25 * time.Second, "reads nothing": 10 * time.Second,
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, g *gateway, dial func(...func(*client.Config)) *client.Client) {
				done := make(chan struct{})
				g.script = func(c *link, f *frame) bool {
					if c.number == 0 && name == "reads nothing" {
						<-done
					}
					return c.number == 0 && f.Op == "publish"
				}
				c := dial(func(cfg *client.Config) { cfg.ResendFor = 2 * time.Minute })
				began := time.Now()
				first, second := batch("a"), batch("b")
				publish(t, c, first)
				synctest.Wait()
				publish(t, c, second)
				for _, b := range []*autobus.Batch{first, second} {
					for _, r := range b.Wait(t.Context()) {
						if r.Status != autobus.Written {
							t.Errorf("%s: %v", r.Status, r.Err)
						}
					}
				}
				if took := time.Since(began); took < least || took > least+5*time.Second {
					t.Errorf("it took %s", took)
				}
				if g.made != 2 {
					t.Errorf("%d connections", g.made)
				}
				close(done)
			})
		})
	}
}

// TestDeadGateway: one that is gone without a word is found out by a ping, while one that only has nothing to say
// keeps its connection.
func TestDeadGateway(t *testing.T) {
	bubble(t, func(t *testing.T, g *gateway, dial func(...func(*client.Config)) *client.Client) {
		done := make(chan struct{})
		g.script = func(c *link, f *frame) bool {
			if c.number == 0 && f.Op == "subscribe" {
				c.answer(f)
				<-done // reads no more, so that it hears no pings
			}
			return c.number == 0 && f.Op == "subscribe"
		}
		c := dial()
		r := read(t, c, autobus.Subscription{Name: "billing"})
		<-r.opened
		time.Sleep(time.Minute)
		g.mu.Lock()
		made := g.made
		g.mu.Unlock()
		if made != 2 {
			t.Errorf("%d connections after a minute of silence", made)
		}
		time.Sleep(10 * time.Minute) // this one answers pings
		if err := c.Ready(); err != nil || g.made != 2 {
			t.Errorf("%d connections, %v", g.made, err)
		}
		r.end(nil)
		close(done)
	})
}

// TestDrainIsNotForEver: a gateway that stays beyond its deadline is left.
func TestDrainIsNotForEver(t *testing.T) {
	bubble(t, func(t *testing.T, g *gateway, dial func(...func(*client.Config)) *client.Client) {
		w := watch(g)
		c := dial()
		r := read(t, c, autobus.Subscription{Name: "billing"})
		_, old := w.next("subscribe", 1)
		old.deliver("billing", "L", 1, 1)
		d := <-r.got
		old.text(`{"op":"drain","deadline":%q}`, time.Now().Add(30*time.Second).Format(time.RFC3339Nano))
		<-r.draining
		began := time.Now()
		if l := <-r.revoked; l != d.Lease {
			t.Errorf("revoked %s", l)
		}
		if took := time.Since(began); took < 30*time.Second || took > 40*time.Second {
			t.Errorf("it was left after %s", took)
		}
		r.end(nil)
	})
}

// TestDrainKeepsTheOrder: what follows what the old gateway has not answered is not sent to the new one before.
func TestDrainKeepsTheOrder(t *testing.T) {
	bubble(t, func(t *testing.T, g *gateway, dial func(...func(*client.Config)) *client.Client) {
		var old *link
		var seq int64
		g.script = func(c *link, f *frame) bool {
			if f.Op == "publish" && c.number == 0 {
				g.change(func() { old, seq = c, *f.Seq })
			}
			return f.Op == "publish" && c.number == 0
		}
		c := dial()
		s := &autobus.Stream{}
		first, second := streamed(s, "a"), streamed(s, "b")
		publish(t, c, first)
		synctest.Wait()
		old.text(`{"op":"drain","deadline":%q}`, time.Now().Add(time.Minute).Format(time.RFC3339Nano))
		time.Sleep(10 * time.Second)
		publish(t, c, second)
		time.Sleep(time.Second)
		if g.made != 2 || len(g.log) != 0 {
			t.Errorf("%d connections; the new gateway has %v", g.made, ids(g.log))
		}
		old.published(seq, "", g.write(first.Events)...)
		receipts(t, first, autobus.Written)
		receipts(t, second, autobus.Written)
	})
}

// TestBackoff: attempts to connect come ever more rarely, and never in step.
func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Duration
		began := time.Now()
		c, err := client.New(client.Config{URL: "http://gateway", Dial: func(context.Context, string, string) (
			net.Conn, error) {
			at = append(at, time.Since(began))
			return nil, net.ErrClosed
		}})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if n := len(at); n < 60 || n > 300 {
			t.Errorf("%d attempts in ten minutes", n)
		}
		for i := 1; i < len(at); i++ {
			if gap := at[i] - at[i-1]; gap > client.DefaultMaxBackoff {
				t.Errorf("attempt %d came %s after the one before", i, gap)
			}
		}
		if len(at) > 3 && at[3] > 7*client.DefaultMinBackoff {
			t.Errorf("the first attempts came at %v", at[:4])
		}
	})
}
