// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/autobus-io/autobus/internal/kafka"
)

func TestTaken(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	taken, by, err := Taken(t.Context(), addr)
	if err != nil || !taken {
		t.Errorf("taken %v, %v", taken, err)
	}
	if want := fmt.Sprintf("process %d (", os.Getpid()); runtime.GOOS == "linux" && !strings.HasPrefix(by, want) {
		t.Errorf("taken by %q, want %s", by, want)
	}
	_ = ln.Close()
	if taken, _, err := Taken(t.Context(), addr); taken || err != nil {
		t.Errorf("closed: taken %v, %v", taken, err)
	}
	if _, _, err := Taken(t.Context(), "192.0.2.1:1"); err == nil {
		t.Error("an address of no interface of this machine can be listened at")
	}
}

func TestFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	const other = "--data DIR"
	expect(t, only(t, Folder(dir, 1<<30, false, other)), OK, "not there yet")

	e, err := kafka.OpenEmbedded(kafka.EmbeddedConfig{Addr: "127.0.0.1:0", Dir: dir,
		Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	holder := "locked by another process"
	if runtime.GOOS == "linux" {
		holder = fmt.Sprintf("locked by process %d", os.Getpid())
	}
	expect(t, Folder(dir, 1<<30, false, other)[0], Problem, holder)
	expect(t, only(t, Folder(dir, 1<<30, true, other)), OK, "locked by ")
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	all := Folder(dir, 1<<40, false, other)
	expect(t, all[0], OK, "not locked")
	expect(t, all[1], OK, "of its budget of 1.0 TiB")
	if err := os.WriteFile(filepath.Join(dir, "big"), make([]byte, 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	expect(t, Folder(dir, 999, false, other)[1], Problem, "storage_full")

	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	expect(t, only(t, Folder(file, 1, false, other)), Problem, "no folder")
}

func TestStorage(t *testing.T) {
	const gib, large = 1 << 30, 100 << 30
	for _, c := range []struct {
		s        kafka.Storage
		n        int // of the findings
		severity Severity
		what     string
	}{
		{kafka.Storage{Bytes: gib, Budget: 2 * gib, DiskFree: 50 * gib, DiskSize: large}, 0, OK, "holds 1.0 GiB"},
		{kafka.Storage{Bytes: gib + gib*7/10, Budget: 2 * gib, DiskFree: 50 * gib, DiskSize: large}, 0, Warning, "1.7 GiB"},
		{kafka.Storage{Bytes: 3 * gib, Budget: 2 * gib, DiskFree: 50 * gib, DiskSize: large}, 0, Problem, "storage_full"},
		{kafka.Storage{Bytes: gib, Budget: 2 * gib, DiskFree: gib / 2, DiskSize: large}, 1, Warning, "less than its budget"},
		{kafka.Storage{Bytes: gib, Budget: 2 * gib, DiskFree: 100 << 20, DiskSize: large}, 1, Problem, "storage_full"},
	} {
		var l list
		l.storage("data", c.s)
		expect(t, l[c.n], c.severity, c.what)
	}
}
