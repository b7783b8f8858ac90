// SPDX-License-Identifier: Apache-2.0

package ws

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
	"github.com/autobus-io/autobus/internal/wire"
)

const benchInFlight = 32 // frames that wait for their answer

// BenchmarkPublish sends frames of 1 and of 100 events of 1 KB over a loopback connection to a bus that writes nothing
// and settles from one goroutine, as the Kafka client does. The client costs next to nothing: its bytes are prepared.
//
//	go test -run '^$' -bench Publish -benchmem ./internal/edge/ws
func BenchmarkPublish(b *testing.B) {
	for _, events := range []int{1, 100} {
		b.Run(fmt.Sprint("text/", events), func(b *testing.B) {
			benchPublish(b, events, 1, []byte(publishFrame(7, benchEvents(events)...)))
		})
		b.Run(fmt.Sprint("binary/", events), func(b *testing.B) {
			frame := wire.AppendHeader(nil, []byte(`{"op":"publish","seq":7,"type":"orders.order.placed.v1",`+
				`"source":"/bench"}`))
			for i, raw := range benchEvents(events) {
				e, err := autobus.ParseEvent([]byte(raw))
				if err != nil {
					b.Fatal(err)
				}
				frame = wire.AppendRecord(frame, int64(i), &e, &wire.Shared{Type: e.Type, Source: e.Source})
			}
			benchPublish(b, events, 2, frame)
		})
	}
}

func benchEvents(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf(`{"specversion":"1.0","id":"id-%d","source":"/bench","type":"orders.order.placed.v1",`+
			`"time":"2026-01-31T12:00:00Z","partitionkey":"o-%d","data":{"id":"o-%d","note":%q}}`, i, i, i,
			strings.Repeat("n", 960))
	}
	return all
}

// benchBus settles every batch from one goroutine.
type benchBus struct {
	autobus.Bus
	batches chan *autobus.Batch
}

func (f *benchBus) Publish(_ context.Context, b *autobus.Batch) error {
	err := b.Open()
	f.batches <- b
	return err
}

func (f *benchBus) run() {
	for b := range f.batches {
		for i := range b.Events {
			b.Resolve(i, autobus.Receipt{Status: autobus.Written, Partition: 3, Offset: int64(i)})
		}
	}
}

func benchPublish(b *testing.B, events int, opcode byte, frame []byte) {
	bus := &benchBus{batches: make(chan *autobus.Batch, 1024)}
	go bus.run()
	conn, answers := benchDial(b, bus)
	raw := maskedFrame(opcode, frame)
	window := make(chan struct{}, benchInFlight)
	failed := make(chan error, 1)
	b.ReportAllocs()
	b.SetBytes(int64(len(frame)))
	b.ResetTimer()
	go func() {
		for range b.N {
			window <- struct{}{}
			if _, err := conn.Write(raw); err != nil {
				failed <- err
				return
			}
		}
	}()
	for range b.N {
		if _, _, err := readFrame(answers); err != nil {
			b.Fatal(err)
		}
		<-window
	}
	b.StopTimer()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*events), "ns/event")
	close(bus.batches)
}

// BenchmarkDeliver hands out frames of 1 and of 100 deliveries of 1 KB, in the form of the subscription.
func BenchmarkDeliver(b *testing.B) {
	for _, events := range []int{1, 100} {
		for _, form := range []struct {
			name   string
			opcode byte
		}{{"text", 1}, {"binary", 2}} {
			b.Run(fmt.Sprintf("%s/%d", form.name, events), func(b *testing.B) { benchDeliver(b, events, form.opcode) })
		}
	}
}

func benchDeliver(b *testing.B, events int, opcode byte) {
	bus, calls := groups()
	conn, frames := benchDial(b, bus)
	subscribe := []byte(`{"op":"subscribe","seq":1,"subscription":"x"}`)
	if opcode == 2 {
		subscribe = wire.AppendHeader(nil, subscribe)
	}
	if _, err := conn.Write(maskedFrame(opcode, subscribe)); err != nil {
		b.Fatal(err)
	}
	o := <-calls
	if _, _, err := readFrame(frames); err != nil { // subscribed
		b.Fatal(err)
	}
	ds := make([]autobus.Delivery, events)
	for i, raw := range benchEvents(events) {
		e, err := autobus.ParseEvent([]byte(raw))
		if err != nil {
			b.Fatal(err)
		}
		ds[i] = autobus.Delivery{Event: e, Lease: autobus.Lease(strings.Repeat("l", 55)).At(int64(i)), Offset: int64(i),
			Attempt: 1, Fence: 1 << 32, Deadline: time.Now()}
		ds[i].Key = []byte("o-1")
	}
	b.ReportAllocs()
	b.ResetTimer()
	go func() {
		for range b.N {
			o.hand(o.ctx, ds)
		}
	}()
	for range b.N {
		if _, _, err := readFrame(frames); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*events), "ns/event")
}

// benchDial connects without a library and takes the hello.
func benchDial(b *testing.B, bus autobus.Bus) (net.Conn, *bufio.Reader) {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	mux := http.NewServeMux()
	New(Config{Bus: bus, Instance: "one", Version: "0.1.0"}).Mount(mux)
	server, done := &edge.Server{Listener: l, Handler: edge.Handler(mux, open())}, make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { done <- server.Run(ctx) }()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = conn.Close()
		cancel()
		<-done
	})
	_, err = fmt.Fprintf(conn, "GET /v1/ws HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"+
		"Sec-WebSocket-Protocol: autobus.v1\r\n\r\n", l.Addr())
	if err != nil {
		b.Fatal(err)
	}
	answers := bufio.NewReaderSize(conn, 1<<20)
	if resp, err := http.ReadResponse(answers, nil); err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		b.Fatal(resp, err)
	}
	if _, hello, err := readFrame(answers); err != nil || !bytes.Contains(hello, []byte(`"hello"`)) {
		b.Fatalf("%s, %v", hello, err)
	}
	return conn, answers
}

// maskedFrame is a whole WebSocket frame of a client whose mask changes nothing.
func maskedFrame(opcode byte, payload []byte) []byte {
	raw := []byte{0x80 | opcode, 0x80 | 127}
	raw = binary.BigEndian.AppendUint64(raw, uint64(len(payload)))
	raw = append(raw, 0, 0, 0, 0)
	return append(raw, payload...)
}

// readFrame gives a frame of the server; the payload is good until the next read.
func readFrame(r *bufio.Reader) (opcode byte, payload []byte, err error) {
	var head [10]byte
	if _, err = io.ReadFull(r, head[:2]); err != nil {
		return 0, nil, err
	}
	n := uint64(head[1])
	switch n {
	case 126:
		_, err = io.ReadFull(r, head[:2])
		n = uint64(binary.BigEndian.Uint16(head[:2]))
	case 127:
		_, err = io.ReadFull(r, head[:8])
		n = binary.BigEndian.Uint64(head[:8])
	}
	if err != nil {
		return 0, nil, err
	}
	if payload, err = r.Peek(int(n)); err != nil {
		return 0, nil, err
	}
	_, err = r.Discard(int(n))
	return head[0] & 15, payload, err
}
