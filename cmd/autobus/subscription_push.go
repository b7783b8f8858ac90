// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bus"
)

// pushFlags say to which endpoint the events of a new subscription are posted.
type pushFlags struct {
	url, secret string
	handshake   bool
	batch       int
	bytes       string
	wait        time.Duration

	batched bool // any flag of batches was named
	other   bool // any flag but --push was named
}

func (p *pushFlags) flags(f *pflag.FlagSet) {
	f.StringVar(&p.url, "push", "", "post the events to this URL, instead of waiting for workers")
	f.StringVar(&p.secret, "secret-file", "", "of --push: sign by this file of the instances' folder push.secrets")
	f.BoolVar(&p.handshake, "handshake", false, "of --push: send nothing before the endpoint allowed it")
	f.IntVar(&p.batch, "batch", 0, "of --push: most events of a request; default: one event in a request")
	f.StringVar(&p.bytes, "batch-bytes", "", "of --batch: most bytes of a request, such as 256KiB; default 1MiB")
	f.DurationVar(&p.wait, "batch-wait", 0, "of --batch: how long the first event waits for others; default 100ms")
}

// note remembers which flags were named.
func (p *pushFlags) note(cmd *cobra.Command) {
	given := cmd.Flags().Changed
	p.batched = given("batch") || given("batch-bytes") || given("batch-wait")
	p.other = p.batched || given("secret-file") || given("handshake")
}

func (p *pushFlags) delivery() (d autobus.PolicyDelivery, err error) {
	switch {
	case p.url == "" && p.other:
		return d, usage("there is no --push").
			WithHint("Name the endpoint: --push https://shop.example/events; the flags for it say how.")
	case p.url == "":
		return d, nil
	case p.batched && p.batch < 1:
		return d, usage("--batch is %d", p.batch).WithHint("Give the most events of a request, from 1.")
	}
	d.Push = &autobus.Push{URL: p.url, SecretFile: p.secret, Handshake: p.handshake}
	if !p.batched {
		return d, nil
	}
	b := &autobus.PushBatch{Events: p.batch, Wait: autobus.Duration(p.wait)}
	if p.bytes != "" {
		n, err := parseSize(p.bytes)
		if err != nil || n < 1 {
			return d, usage("--batch-bytes is %q", p.bytes).WithHint("Give a number of bytes, such as 256KiB.")
		}
		b.Bytes = int(n)
	}
	d.Push.Batch = b
	return d, nil
}

// pushedTo says in one line where events are posted and how.
func pushedTo(p *autobus.Push) string {
	if p == nil {
		return ""
	}
	parts := []string{printable(p.URL)}
	if b := p.Batch; b != nil {
		parts = append(parts, fmt.Sprintf("up to %d events, %d bytes or %s in a request", b.Events, b.Bytes, b.Wait))
	}
	if p.SecretFile != "" {
		parts = append(parts, "signed by the file "+printable(p.SecretFile))
	}
	if p.Handshake {
		parts = append(parts, "after a handshake")
	}
	return strings.Join(parts, ", ")
}

// pushGoes says how pushing goes at the instance that answers.
func pushGoes(i *bus.PushInfo) string {
	text := "nothing was posted yet"
	if i.LastTime != nil {
		text = "no answer"
		if i.LastStatus != 0 {
			text = strings.TrimSpace(fmt.Sprintf("%d %s", i.LastStatus, http.StatusText(i.LastStatus)))
		}
		text += " at " + stamp(*i.LastTime)
	}
	if i.Blocked != nil {
		text += ", blocked since " + stamp(*i.Blocked)
	}
	if i.Next != nil {
		text += ", asked again at " + stamp(*i.Next)
	}
	if i.LastError != "" {
		text += "; last error: " + oneLine(i.LastError)
	}
	return text
}
