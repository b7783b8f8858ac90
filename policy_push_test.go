// SPDX-License-Identifier: Apache-2.0

package autobus_test

import (
	"strings"
	"testing"

	"github.com/autobus-io/autobus"
)

func TestEndpointsOfAPolicy(t *testing.T) {
	for url, want := range map[string]string{
		"https://shop.example/events?a=b": "", "http://127.0.0.1:8080": "", "http://[::1]:8080/x": "",
		"http://localhost/x": "", "": "missing", "http://shop.example": "not https", "http://127.0.0.1.example": "not https",
		"http://10.0.0.1": "not https", "ftp://shop.example": "not https", "https://": "no URL", "shop.example": "no URL",
		"https:shop.example": "no URL", "https://u:p@shop.example": "user or a password",
		"https://shop.example#x":                            "fragment",
		"https://shop.example/" + strings.Repeat("x", 3000): "bytes",
	} {
		p := autobus.Policy{Types: []string{"a.b.v1"}, Delivery: autobus.PolicyDelivery{Push: &autobus.Push{URL: url}}}
		err := p.Check()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Detail, want)) {
			t.Errorf("%.60q: %v, want %q", url, err, want)
		}
	}
	p := autobus.Policy{Types: []string{"a.b.v1"}, Delivery: autobus.PolicyDelivery{Push: &autobus.Push{
		URL: "https://shop.example", Batch: &autobus.PushBatch{}}}}
	if err := p.Check(); err == nil || !strings.Contains(err.Detail, "batch.events is 0") {
		t.Errorf("an empty batch: %v", err)
	}
}
