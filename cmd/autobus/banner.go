// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// bannerInfo is the banner for programs: dev -o json.
type bannerInfo struct {
	API     string `json:"api"`
	Kafka   string `json:"kafka"`
	Data    string `json:"data,omitempty"`
	Kept    bool   `json:"kept"`
	Fsync   bool   `json:"fsync,omitempty"`
	Auth    string `json:"auth"`
	Specs   string `json:"specs,omitempty"`
	Demo    bool   `json:"demo"`
	Version string `json:"version"`
	Ready   string `json:"ready_in"`
}

// banner says where everything is. It is printed once the bus works, so a script may wait for it.
func (d *devFlags) banner(in *instance, took time.Duration) error {
	info := bannerInfo{
		API: in.url(), Kafka: in.embedded.Addr(), Kept: !d.ephemeral, Auth: "off", Specs: d.specs, Demo: !d.noDemo,
		Version: readBuildInfo().Version, Ready: fmt.Sprintf("%.1f s", took.Seconds()),
	}
	if info.Kept {
		info.Data, info.Fsync = d.data, d.durability == durabilityFsync
	}
	if d.app.output != "table" {
		// One line even under json: whoever waits for it reads up to the newline, and the process goes on.
		return json.NewEncoder(d.app.out).Encode(info)
	}
	_, err := fmt.Fprint(d.app.out, info.text(in.port(), commandName(os.Args[0])))
	return err
}

// commandName is what the person typed to run the program, so that what the banner proposes can be typed too. The Go
// tool runs a program from its own folders.
func commandName(arg0 string) string {
	if strings.Contains(filepath.ToSlash(arg0), "/go-build") {
		return "go run ./cmd/autobus"
	}
	return arg0
}

func (b *bannerInfo) text(port, command string) string {
	data := "in memory, gone at the end (leave --ephemeral away to keep it)"
	if b.Kept {
		survives := "also after a kill; a power cut may lose the last seconds"
		if b.Fsync {
			survives = "also after a kill or a power cut"
		}
		data = filepath.Clean(b.Data) + string(filepath.Separator) + " (kept between runs, " + survives +
			"; --ephemeral forgets)"
	}
	specs := "none; types without a spec are accepted (--specs DIR)"
	if b.Specs != "" {
		specs = b.Specs + " (reloaded when it changes); types without a spec are accepted"
	}
	demo := "off"
	if b.Demo {
		demo = "made-up orders, types demo.*, 2 events/s (--no-demo)"
	}
	server := ""
	if port != "7070" {
		server = " --server " + b.API
	}
	var s strings.Builder
	fmt.Fprintf(&s, "autobus %s dev   one process, one copy of everything; Ctrl-C stops it   ready in %s\n",
		b.Version, b.Ready)
	for _, row := range [][2]string{
		{"API", b.API},
		{"Kafka", b.Kafka + " (embedded broker; any Kafka client works)"},
		{"Data", data},
		{"Auth", "off, bound to loopback"},
		{"Specs", specs},
		{"Demo", demo},
	} {
		fmt.Fprintf(&s, "  %-7s %s\n", row[0], row[1])
	}
	fmt.Fprintf(&s, "Try:\n  curl %s/v1/events/hello.world.said.v1 -H 'content-type: application/json' \\\n"+
		"    -d '{\"text\":\"hi\"}'\n", b.API)
	what := "hello.*"
	if b.Demo {
		what = "demo.*"
	}
	fmt.Fprintf(&s, "  %s tail '%s'%s\n", command, what, server)
	return s.String()
}
