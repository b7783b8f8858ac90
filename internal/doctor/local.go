// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/autobus-io/autobus/internal/kafka"
)

// Taken tells whether another process listens on an address of this machine, and which one where the system says so.
func Taken(ctx context.Context, addr string) (taken bool, by string, err error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err == nil {
		return false, "", ln.Close()
	}
	if !errors.Is(err, syscall.EADDRINUSE) {
		return false, "", err
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return true, "", err
	}
	return true, listener(port), nil
}

// Folder looks at the data folder of an embedded broker that may hold so many bytes. running: a bus that answered here
// has it.
func Folder(dir string, budget int64, running bool, otherFolder string) []Finding {
	const own = "give the folder to the user who runs the bus"
	var out list
	if info, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		out.ok(CheckDisk, dir, "not there yet: the first start makes it")
		return out
	} else if err != nil || !info.IsDir() {
		out.add(Problem, CheckDisk, dir, "is no folder that can be read", otherFolder)
		return out
	}
	switch file, locked, err := kafka.LockedFolder(dir); {
	case err != nil:
		out.add(Problem, CheckDisk, dir, "its lock cannot be read: "+err.Error(), own)
	case locked && running:
		out.ok(CheckDisk, dir, "locked by %s", cmp.Or(locker(file), "the bus that runs"))
		return out // which says how full it is, and what it may hold
	case locked:
		out.add(Problem, CheckDisk, dir, "locked by "+cmp.Or(locker(file), "another process")+", and no bus answers",
			"stop that process, or take another folder: "+otherFolder)
	default:
		out.ok(CheckDisk, dir, "not locked: nobody uses it")
	}
	s, err := kafka.MeasureFolder(dir, budget)
	if err != nil {
		out.add(Problem, CheckDisk, dir, "cannot be measured: "+err.Error(), own)
		return out
	}
	out.storage(dir, s)
	return out
}

// storage judges how full the folder of an embedded broker is.
func (l *list) storage(dir string, s kafka.Storage) {
	if s.DiskSize == 0 && s.Bytes == 0 {
		return // in memory
	}
	what := fmt.Sprintf("holds %s of its budget of %s", bytes(s.Bytes), bytes(s.Budget))
	const fix = "raise --budget, shorten the retention of types, or delete what is not needed"
	switch {
	case s.Bytes > s.Budget:
		l.add(Problem, CheckDisk, dir, what+": publishing is refused (storage_full)", fix)
	case s.Bytes > s.Budget/10*8:
		l.add(Warning, CheckDisk, dir, what, fix)
	default:
		l.ok(CheckDisk, dir, "%s", what)
	}
	what = fmt.Sprintf("its disk has %s of %s free", bytes(s.DiskFree), bytes(s.DiskSize))
	full := kafka.Storage{Budget: s.Budget, DiskFree: s.DiskFree, DiskSize: s.DiskSize}.Full(dir)
	switch {
	case full != nil:
		l.add(Problem, CheckDisk, dir, what+": publishing is refused (storage_full)", "make room on the disk")
	case s.DiskFree < s.Budget-s.Bytes:
		l.add(Warning, CheckDisk, dir, what+", less than its budget may still take", "make room, or lower --budget")
	default:
		l.ok(CheckDisk, dir, "%s", what)
	}
}

// certificateSoon is how long before its end a certificate is told.
const certificateSoon = 30 * 24 * time.Hour

// Certificate judges until when a certificate holds.
func Certificate(where string, from, until, now time.Time) Finding {
	const fix = "get a new certificate, then restart the instance: it reads its files at the start"
	what := "the certificate ends on " + until.UTC().Format(time.DateOnly)
	switch {
	case now.Before(from):
		return Finding{Problem, CheckConfig, where, "the certificate begins on " + from.UTC().Format(time.DateOnly),
			"check this machine's clock, or wait"}
	case now.After(until):
		return Finding{Problem, CheckConfig, where, what, fix}
	case until.Sub(now) < certificateSoon:
		return Finding{Warning, CheckConfig, where, what, fix}
	}
	return Finding{OK, CheckConfig, where, what, ""}
}
