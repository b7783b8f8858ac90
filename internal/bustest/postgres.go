// SPDX-License-Identifier: Apache-2.0

package bustest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
)

// PostgresServer is a PostgreSQL server of one test, with its data in a folder of its own.
type PostgresServer struct {
	bin, dir string
	port     string
	options  []string
	as       *syscall.Credential // the server refuses to be root's; nil = the test's own user
	command  *exec.Cmd
	said     Output
}

// Postgres starts a PostgreSQL server and ends it with the test. Its superuser is postgres and needs no password.
// Options are settings such as "fsync=on"; without that one it does not wait for the disk, which no test that ends
// processes can tell. Without an installed PostgreSQL the test is skipped; under CI=true it fails.
func Postgres(t testing.TB, options ...string) *PostgresServer {
	t.Helper()
	p := &PostgresServer{bin: postgresBin(t), options: append([]string{"fsync=off"}, options...)}
	var err error
	//nolint:usetesting // the server's user has no way into folders below one that is closed, as those of tests are
	if p.dir, err = os.MkdirTemp("", "autobus-postgres-"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(p.dir); err != nil {
			t.Errorf("delete the data of PostgreSQL: %v", err)
		}
	})
	if os.Getuid() == 0 {
		p.becomeUser(t)
	}
	init := p.run(t.Context(), "initdb", "-D", p.data(), "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8",
		"--locale=C.UTF-8")
	if out, err := init.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, p.port, _ = net.SplitHostPort(l.Addr().String())
	_ = l.Close()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("PostgreSQL said:\n%s", p.said.String())
		}
		p.Stop(t)
	})
	p.Start(t)
	return p
}

// postgresBin is the folder of the server's programs: Debian keeps it out of the path.
func postgresBin(t testing.TB) string {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	slices.Sort(found)
	if p, err := exec.LookPath("initdb"); err == nil {
		found = append(found, p)
	}
	for _, p := range slices.Backward(found) {
		real, err := filepath.EvalSymlinks(p)
		if err != nil {
			continue
		}
		if _, err := os.Stat(filepath.Join(filepath.Dir(real), "pg_isready")); err == nil { // all of them are there
			return filepath.Dir(real)
		}
	}
	const why = "needs PostgreSQL 15 or newer, Debian's package postgresql"
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	t.Skip(why)
	return ""
}

func (p *PostgresServer) becomeUser(t testing.TB) {
	t.Helper()
	u, err := user.Lookup("postgres")
	if err != nil {
		t.Fatalf("PostgreSQL refuses to run as root, and there is no user for it: %v", err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	p.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	if err := os.Chown(p.dir, uid, gid); err != nil {
		t.Fatal(err)
	}
}

func (p *PostgresServer) data() string { return filepath.Join(p.dir, "data") }

func (p *PostgresServer) run(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(p.bin, program), args...)
	cmd.Dir = p.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.as, Setpgid: true}
	return cmd
}

// DSN is the address of a database, such as postgres; a password is not asked for.
func (p *PostgresServer) DSN(database string) string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%s/%s?sslmode=disable", p.port, database)
}

// Env has the variables by which programs of PostgreSQL, and others that are built like them, find the server.
func (p *PostgresServer) Env() []string {
	return []string{"PGHOST=127.0.0.1", "PGPORT=" + p.port, "PGUSER=postgres", "PGSSLMODE=disable"}
}

// Start starts the server, again on its data and its port, and waits until it takes connections.
func (p *PostgresServer) Start(t testing.TB) {
	t.Helper()
	args := []string{"-D", p.data(), "-p", p.port, "-k", p.dir, "-c", "listen_addresses=127.0.0.1"}
	for _, o := range p.options {
		args = append(args, "-c", o)
	}
	p.command = p.run(context.Background(), "postgres", args...)
	p.command.Stdout, p.command.Stderr = &p.said, &p.said
	if err := p.command.Start(); err != nil {
		t.Fatalf("start PostgreSQL: %v", err)
	}
	Eventually(t, "PostgreSQL takes connections", func(ctx context.Context) bool {
		return p.run(ctx, "pg_isready", "-q", "-h", "127.0.0.1", "-p", p.port).Run() == nil
	})
}

// Stop ends the server, with the connections that it has, and waits until it is gone.
func (p *PostgresServer) Stop(t testing.TB) { p.end(t, syscall.SIGINT) }

// Crash ends the server as a crash would: nothing is written any more, the next start recovers.
func (p *PostgresServer) Crash(t testing.TB) { p.end(t, syscall.SIGQUIT) }

func (p *PostgresServer) end(t testing.TB, signal syscall.Signal) {
	t.Helper()
	if p.command == nil {
		return
	}
	if err := p.command.Process.Signal(signal); err != nil {
		t.Errorf("stop PostgreSQL: %v\n%s", err, p.said.String())
	}
	_ = p.command.Wait() // the status after a crash is none that says anything
	p.command = nil
}

// Psql runs SQL with the server's own client and returns what it prints: rows without decoration, values separated
// by |.
func (p *PostgresServer) Psql(t testing.TB, database, sql string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), filepath.Join(p.bin, "psql"), "-X", "-q", "-A", "-t", "-v",
		"ON_ERROR_STOP=1", "-d", p.DSN(database), "-c", sql).CombinedOutput()
	if err != nil {
		t.Fatalf("psql %s: %v\n%s", sql, err, out)
	}
	return string(out)
}
