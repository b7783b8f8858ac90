// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Processes are those whose processor time is counted beside our own. Where a list is empty it is not known.
type Processes struct {
	Gateway []int
	Broker  []int
}

// usage is processor time used so far. A negative one is not known.
type usage struct{ client, gateway, broker time.Duration }

func (p Processes) usage() (u usage, err error) {
	var self syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &self); err != nil {
		return u, err
	}
	u.client = time.Duration(self.Utime.Nano() + self.Stime.Nano())
	if u.gateway, err = processTime(p.Gateway); err == nil {
		u.broker, err = processTime(p.Broker)
	}
	return u, err
}

// shared reports whether the broker lives in the gateway's process.
func (p Processes) shared() bool { return len(p.Broker) > 0 && slices.Equal(p.Gateway, p.Broker) }

// ticks is the unit of /proc/<pid>/stat: USER_HZ is 100 wherever Go runs on Linux.
const ticks = time.Second / 100

func processTime(pids []int) (total time.Duration, err error) {
	if len(pids) == 0 {
		return -1, nil
	}
	for _, pid := range pids {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, fmt.Errorf("processor time of process %d: %w", pid, err)
		}
		// The name, in brackets, may hold anything; utime and stime are the 14th and 15th field.
		fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
		if len(fields) < 13 {
			return 0, fmt.Errorf("processor time of process %d cannot be read", pid)
		}
		for _, f := range fields[11:13] {
			n, err := strconv.ParseInt(f, 10, 64)
			if err != nil {
				return 0, fmt.Errorf("processor time of process %d: %w", pid, err)
			}
			total += time.Duration(n) * ticks
		}
	}
	return total, nil
}

// Listener finds the process that listens on a port of this machine. It reads /proc, so it works on Linux only and
// needs the right to look at that process.
func Listener(port uint16) (pid int, err error) {
	sockets := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		if err := listening(table, port, sockets); err != nil && !errors.Is(err, os.ErrNotExist) {
			return 0, err
		}
	}
	if len(sockets) == 0 {
		return 0, fmt.Errorf("nobody is seen to listen on port %d", port)
	}
	links, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return 0, err
	}
	for _, link := range links {
		to, err := os.Readlink(link)
		if err == nil && sockets[to] {
			pid, err := strconv.Atoi(strings.Split(link, "/")[2])
			return pid, err
		}
	}
	return 0, fmt.Errorf("the process that listens on port %d cannot be seen", port)
}

// listening adds the sockets that listen on a port, as /proc/<pid>/fd names them.
func listening(table string, port uint16, sockets map[string]bool) error {
	f, err := os.Open(table)
	if err != nil {
		return err
	}
	defer f.Close()
	const stateListen = "0A"
	want := fmt.Sprintf(":%04X", port)
	in := bufio.NewScanner(f)
	for in.Scan() {
		// sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode
		fields := strings.Fields(in.Text())
		if len(fields) > 9 && strings.HasSuffix(fields[1], want) && fields[3] == stateListen {
			sockets["socket:["+fields[9]+"]"] = true
		}
	}
	return in.Err()
}

// Loopback reports whether an address, host:port, is certainly of this machine.
func Loopback(addr string) bool {
	host := addr
	if i := strings.LastIndexByte(addr, ':'); i >= 0 {
		host = strings.Trim(addr[:i], "[]")
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
