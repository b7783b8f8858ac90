// SPDX-License-Identifier: Apache-2.0

package push

import (
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
)

func TestWhatAStatusIsAbout(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for status, want := range map[int]about{301: theEndpoint, 302: theEndpoint, 307: theEndpoint, 400: theEvent,
		401: theEndpoint, 403: theEndpoint, 404: theEndpoint, 405: theEndpoint, 407: theEndpoint, 408: theEvent, 410: gone,
		413: theEvent, 422: theEvent, 425: theEvent, 429: theEvent, 500: theEvent, 502: theEvent, 503: theEvent} {
		v := judge(status, http.Header{"Retry-After": {"7"}}, now)
		if v.err == nil || v.about != want || v.wait != 7*time.Second {
			t.Errorf("%d: %+v, want %d", status, v, want)
		}
	}
	for _, status := range []int{200, 201, 202, 204} {
		if v := judge(status, http.Header{}, now); v.err != nil {
			t.Errorf("%d: %+v", status, v)
		}
	}
	for text, want := range map[string]time.Duration{"": 0, "0": 0, "90": 90 * time.Second, "-1": 0, "soon": 0,
		"2000000000": time.Duration(autobus.MaxRetryDelay), "99999999999": time.Duration(autobus.MaxRetryDelay),
		"99999999999999999999999": time.Duration(autobus.MaxRetryDelay), "9e9": 0, "-99999999999999999999": 0,
		"Fri, 02 Jan 2099 03:03:05 GMT": time.Duration(autobus.MaxRetryDelay), "Fri, 02 Jan 2026 03:05:05 GMT": time.Minute,
		"Fri, 02 Jan 2026 03:03:05 GMT": 0} {
		if got := retryAfter(text, now); got != want {
			t.Errorf("Retry-After %q is %s, want %s", text, got, want)
		}
	}
}

func TestAddresses(t *testing.T) {
	g := newGuard([]netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")})
	for text, want := range map[string]bool{"1.1.1.1": true, "2606:4700::1111": true, "10.1.2.3": true,
		"::ffff:10.1.2.3": true, "10.2.0.1": false, "127.0.0.1": false, "::1": false, "169.254.169.254": false,
		"fe80::1": false, "fd00:ec2::254": false, "192.168.0.1": false, "172.16.0.1": false, "100.64.0.1": false,
		"0.0.0.0": false, "::": false, "224.0.0.1": false, "ff02::1": false, "::ffff:127.0.0.1": false,
		"64:ff9b::7f00:1": false, "2002:7f00:1::": false, "255.255.255.255": false, "::127.0.0.1": false} {
		if got := g.allows(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

func TestSecrets(t *testing.T) {
	dir := t.TempDir()
	inner := filepath.Join(dir, "secrets")
	if err := os.Mkdir(inner, 0o700); err != nil {
		t.Fatal(err)
	}
	good := "whsec_" + strings.Repeat("YWJj", 10)
	for name, text := range map[string]string{"outside": good, "secrets/good": good + "\n", "secrets/empty": "\n",
		"secrets/bare": strings.Repeat("YWJj", 10), "secrets/short": "whsec_YWJj", "secrets/text": "whsec_%%%",
		"secrets/many": strings.Repeat(good+"\n", 5)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(dir, "outside"), filepath.Join(inner, "link")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"../outside", filepath.Join(dir, "outside"), "link", "missing", "empty", "bare", "short",
		"text", "many", "."} {
		if _, err := secrets(inner, name); err == nil {
			t.Errorf("%s was taken", name)
		} else if strings.Contains(err.Error(), "YWJj") {
			t.Errorf("%s: the error tells the secret", name)
		}
	}
	if keys, err := secrets(inner, "good"); err != nil || len(keys) != 1 {
		t.Errorf("good: %v", err)
	}
	if _, err := secrets("", "good"); err == nil {
		t.Error("without a folder there are secrets")
	}
}

func TestHandshake(t *testing.T) {
	for _, c := range []struct {
		name            string
		required        bool
		status          int
		origin, rate    string
		refused, slowed bool
	}{
		{"unknown", false, 405, "", "", false, false},
		{"unknown and required", true, 405, "", "", true, false},
		{"silent and required", true, 200, "", "", true, false},
		{"anybody", true, 200, "*", "*", false, false},
		{"this bus", true, 200, "Bus.Example", "120", false, true},
		{"somebody else", false, 200, "other.example", "", true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, autobus.Policy{Delivery: autobus.PolicyDelivery{Push: &autobus.Push{Handshake: c.required}}},
				allowLoopback)
			r.options = func(w http.ResponseWriter, req *http.Request) {
				if req.Header.Get("WebHook-Request-Origin") != "bus.example" {
					t.Errorf("origin %q", req.Header.Get("WebHook-Request-Origin"))
				}
				w.Header().Set("WebHook-Allowed-Origin", c.origin)
				w.Header().Set("WebHook-Allowed-Rate", c.rate)
				w.WriteHeader(c.status)
			}
			at := newEndpoint(&r.pusher.cfg, r.pusher.metrics, r.pusher.guard, r.list[0])
			defer at.end()
			v := at.post(t.Context(), []*autobus.Delivery{{Event: autobus.Event{ID: "e1"}}})
			if refused := v.about == theEndpoint && v.err != nil; refused != c.refused || refused == (len(r.calls) == 1) {
				t.Errorf("verdict %+v, posted %d", v, len(r.calls))
			}
			if slowed := at.every == time.Minute/120; slowed != c.slowed {
				t.Errorf("every %s", at.every)
			}
		})
	}
}
