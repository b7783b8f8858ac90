// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// network is hosts in network namespaces of their own, joined by a bridge. Links between them can be cut one way: what
// one host sends is dropped without a word where it arrives. The test itself is at .254 and reaches all of them.
type network struct {
	t      *testing.T
	prefix string // of the namespaces: host n is in prefix + n
	net    string // of the addresses: host n is at net.n
}

// gatewayHost is the host of the first gateway that has one of its own; further ones have the next.
const gatewayHost = 101

// newNetwork makes hosts that live as long as t. Only root may; elsewhere the test that asked is skipped.
func newNetwork(t, asked *testing.T, hosts ...int) *network {
	asked.Helper()
	if _, err := exec.LookPath("ip"); err != nil || os.Getuid() != 0 {
		asked.Skip("needs root and iproute2, to cut links between network namespaces")
	}
	b := make([]byte, 2)
	_, _ = rand.Read(b) // never fails
	n := &network{t: t, prefix: fmt.Sprintf("ab%x-", b), net: fmt.Sprintf("10.99.%d", b[0])}
	bridge := n.prefix + "br"
	n.ip("link", "add", bridge, "type", "bridge")
	t.Cleanup(func() { n.ip("link", "del", bridge) })
	n.ip("addr", "add", n.net+".254/24", "dev", bridge)
	n.ip("link", "set", bridge, "up")
	for _, h := range hosts {
		ns, veth := n.host(h), fmt.Sprintf("%sv%d", n.prefix, h)
		n.ip("netns", "add", ns)
		t.Cleanup(func() { n.ip("netns", "del", ns) })
		n.ip("link", "add", veth, "type", "veth", "peer", "name", "eth0", "netns", ns)
		n.ip("link", "set", veth, "master", bridge, "up")
		n.ip("-n", ns, "addr", "add", n.addr(h)+"/24", "dev", "eth0")
		n.ip("-n", ns, "link", "set", "eth0", "up")
		n.ip("-n", ns, "link", "set", "lo", "up")
		// What is for the host itself is looked up behind the rules that cut.
		n.ip("-n", ns, "rule", "add", "pref", "100", "lookup", "local")
		n.ip("-n", ns, "rule", "del", "pref", "0")
	}
	return n
}

func (n *network) host(h int) string { return fmt.Sprintf("%s%d", n.prefix, h) }
func (n *network) addr(h int) string { return fmt.Sprintf("%s.%d", n.net, h) }

// drop lets a host hear nothing more from another one.
func (n *network) drop(from, at int) {
	n.ip("-n", n.host(at), "rule", "add", "pref", "10", "from", n.addr(from)+"/32", "blackhole")
}

// heal undoes a drop.
func (n *network) heal(from, at int) {
	n.ip("-n", n.host(at), "rule", "del", "pref", "10", "from", n.addr(from)+"/32", "blackhole")
}

// tryHeal undoes drops between two hosts, if there are any.
func (n *network) tryHeal(a, b int) {
	for _, way := range [][2]int{{a, b}, {b, a}} {
		_ = exec.Command("ip", "-n", n.host(way[1]), "rule", "del", "pref", "10", "from", n.addr(way[0])+"/32",
			"blackhole").Run()
	}
}

// gateway leads to a gateway's process on a host of its own.
func (n *network) gateway(number int) []string {
	h := gatewayHost + number
	return []string{"ip", "netns", "exec", n.host(h), "env", "AUTOBUS_LISTEN=" + n.addr(h) + ":0",
		"AUTOBUS_INSECURE=true"}
}

func (n *network) ip(args ...string) {
	n.t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		n.t.Errorf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}
