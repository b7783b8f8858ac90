// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
)

// What the banner proposes can be typed as it stands.
func TestBannerProposesWhatWorks(t *testing.T) {
	for arg0, want := range map[string]string{
		"autobus":                               "  autobus tail 'demo.*' --server http://127.0.0.1:8080\n",
		"./autobus":                             "  ./autobus tail ",
		"/opt/bus/bin/autobus":                  "  /opt/bus/bin/autobus tail ",
		"/t/go-build115/b001/exe/autobus":       "  go run ./cmd/autobus tail ",
		"/me/.cache/go-build/ce/ceb4-d/autobus": "  go run ./cmd/autobus tail ",
	} {
		b := bannerInfo{API: "http://127.0.0.1:8080", Demo: true}
		text := b.text("8080", commandName(arg0))
		if !strings.Contains(text, want) || !strings.Contains(text, "  curl http://127.0.0.1:8080/v1/events/") {
			t.Errorf("%s: no %q in\n%s", arg0, want, text)
		}
	}
}
