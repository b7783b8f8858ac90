// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/autobus-io/autobus"
)

func TestPeerSettings(t *testing.T) {
	dir := t.TempDir()
	good, short := filepath.Join(dir, "good"), filepath.Join(dir, "short")
	for file, text := range map[string]string{good: "sixteen bytes or more\n", short: "short\n"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const base = "kafka: {brokers: [a:1]}\n"
	for text, want := range map[string]string{
		"instance: a/b\n":                      "is no name of an instance",
		"advertise: 0.0.0.0:7070\n":            "nobody can be reached at",
		"advertise: ':7070'\n":                 "nobody can be reached at",
		"advertise: a:0\n":                     "nobody can be reached at",
		"advertise: a\n":                       "is not host:port",
		"peer_secret_file: " + short + "\n":    "the secret has 5 bytes",
		"peer_secret_file: " + dir + "/x\n":    "no such file",
		"peer_ca_file: " + good + "\n":         "called only with a secret",
		"peer_secret_file: " + good + "\n":     "",
		"advertise: bus-1:7070\ninstance: b-1": "",
	} {
		c, p, err := loadConfig(writeConfig(t, base+text), nil)
		if err != nil {
			t.Fatal(err)
		}
		keys := c.peerKeys(p)
		err = p.err()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
		if strings.Contains(text, good) && strings.Contains(text, "secret") && keys == nil {
			t.Errorf("%q: the secret is not used", text)
		}
	}
}

func TestAdvertisedByDefault(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	for listen, want := range map[string]string{"127.0.0.1:0": "127.0.0.1:", "0.0.0.0:0": "bus-1:", ":0": "bus-1:",
		"[::]:0": "bus-1:", "[::1]:0": "[::1]:"} {
		in := &instance{settings: settings{instance: "bus-1", listen: listen}, listener: ln}
		if got := in.advertised(); got != want+port {
			t.Errorf("listening at %s it is %s, want %s", listen, got, want+port)
		}
	}
}

// Who shows a token of an instance acts for whom it names; of another secret it is nobody's.
func TestInstancesAreLetIn(t *testing.T) {
	s := testSettings(t)
	s.dev = false
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("sixteen bytes or more"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := config{PeerSecretFile: file}
	s.peers = c.peerKeys(&problems{})
	in := startInstance(t, s)
	who := autobus.Principal{Name: "shop", Grants: []autobus.Grant{{Verb: autobus.VerbSubscribe, Pattern: "shop"}}}
	token, err := s.peers.Token("other", who)
	if err != nil {
		t.Fatal(err)
	}
	if p, _, ok := in.authenticate(token); !ok || p.Name != "shop" || p.Via != "other" {
		t.Errorf("%+v %v", p, ok)
	}
	if _, _, ok := in.authenticate(token + "x"); ok {
		t.Error("a forged token is taken")
	}
}
