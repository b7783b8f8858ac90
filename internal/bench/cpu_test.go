// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"net"
	"os"
	"runtime"
	"testing"
	"time"
)

func TestProcesses(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("processes are looked up in /proc")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	port := uint16(ln.Addr().(*net.TCPAddr).Port)
	pid, err := Listener(port)
	if err != nil || pid != os.Getpid() {
		t.Fatalf("process %d: %v; want %d", pid, err, os.Getpid())
	}
	_ = ln.Close()
	if pid, err := Listener(port); err == nil {
		t.Errorf("process %d listens on a port that was closed", pid)
	}

	p := Processes{Gateway: []int{os.Getpid()}}
	before, err := p.usage()
	if err != nil {
		t.Fatal(err)
	}
	used := func() time.Duration {
		u, err := p.usage()
		if err != nil {
			t.Fatal(err)
		}
		if u.broker >= 0 {
			t.Fatalf("a broker that is not known used %s", u.broker)
		}
		// Both ways of looking at this process grow; ticks of 10 ms apart.
		return min(u.client-before.client, u.gateway-before.gateway)
	}
	for used() < 50*time.Millisecond {
		pool(JSON, 100)
	}
	if _, err := (Processes{Broker: []int{1 << 30}}).usage(); err == nil {
		t.Error("a process that is not there was measured")
	}
}

func TestLoopback(t *testing.T) {
	for addr, want := range map[string]bool{"127.0.0.1:9092": true, "127.1.2.3:1": true, "[::1]:9092": true,
		"localhost:9092": true, "localhost": true, "10.0.0.1:9092": false, "kafka:9092": false, "": false,
		"localhost.example.com:1": false} {
		if got := Loopback(addr); got != want {
			t.Errorf("%q: %t", addr, got)
		}
	}
}
