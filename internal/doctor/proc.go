// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Who holds a port or a lock is asked of /proc. Where there is none, or of another user's processes, it is not known:
// then these functions give nothing.

// listener names the process that listens on a port of this machine.
func listener(port string) string {
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return ""
	}
	const listening = "0A"
	hex := fmt.Sprintf(":%04X", n)
	sockets := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		for line := range lines(table) {
			if f := strings.Fields(line); len(f) > 9 && strings.HasSuffix(f[1], hex) && f[3] == listening {
				sockets["socket:["+f[9]+"]"] = true
			}
		}
	}
	open, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, fd := range open {
		if target, err := os.Readlink(fd); err == nil && sockets[target] {
			return process(strings.Split(fd, "/")[2])
		}
	}
	return ""
}

// locker names the process that has a file locked.
func locker(file string) string {
	info, err := os.Stat(file)
	if err != nil {
		return ""
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	inode := ":" + strconv.FormatUint(stat.Ino, 10)
	for line := range lines("/proc/locks") {
		if f := strings.Fields(line); len(f) > 5 && f[1] == "FLOCK" && strings.HasSuffix(f[5], inode) {
			return process(f[4])
		}
	}
	return ""
}

func process(pid string) string {
	name, err := os.ReadFile("/proc/" + pid + "/comm")
	if err != nil {
		return "process " + pid
	}
	return fmt.Sprintf("process %s (%s)", pid, strings.TrimSpace(string(name)))
}

func lines(file string) func(func(string) bool) {
	raw, _ := os.ReadFile(file)
	return strings.Lines(string(raw))
}
