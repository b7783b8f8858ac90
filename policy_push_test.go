// SPDX-License-Identifier: Apache-2.0

package autobus_test

import (
	"strings"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
)

func TestEndpointsOfAPolicy(t *testing.T) {
	for url, want := range map[string]string{
		"https://shop.example/events?a=b": "", "http://127.0.0.1:8080": "", "http://[::1]:8080/x": "",
		"http://localhost/x": "", "": "missing", "http://shop.example": "not https", "http://127.0.0.1.example": "not https",
		"http://10.0.0.1": "not https", "ftp://shop.example": "not https", "https://": "no URL", "shop.example": "no URL",
		"https:shop.example": "no URL", "https://shop.example:0": "no URL", "https://shop.example:65536/x": "no URL",
		"https://shop.example:65535": "", "https://u:p@shop.example": "user or a password",
		"https://shop.example#x":                            "fragment",
		"https://shop.example/" + strings.Repeat("x", 3000): "bytes",
	} {
		p := autobus.Policy{Types: []string{"a.b.v1"}, Delivery: autobus.PolicyDelivery{Push: &autobus.Push{URL: url}}}
		err := p.Check()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Detail, want)) {
			t.Errorf("%.60q: %v, want %q", url, err, want)
		}
	}
}

func TestBatchesOfAPolicy(t *testing.T) {
	policy := func(b autobus.PushBatch, window *autobus.Window) autobus.Policy {
		return autobus.Policy{Types: []string{"a.b.v1"}, Window: window, Delivery: autobus.PolicyDelivery{
			Push: &autobus.Push{URL: "https://shop.example", Batch: &b}}}
	}
	for _, c := range []struct {
		batch  autobus.PushBatch
		window *autobus.Window
		want   string
	}{
		{autobus.PushBatch{}, nil, ""},
		{autobus.PushBatch{Events: 100, Bytes: 1 << 20, Wait: autobus.Duration(time.Minute)}, nil, ""},
		{autobus.PushBatch{Events: -1}, nil, "batch.events is -1"},
		{autobus.PushBatch{Events: 101}, nil, "the window holds 100"},
		{autobus.PushBatch{Events: 101}, &autobus.Window{Events: 101}, ""},
		{autobus.PushBatch{Events: 10_001}, &autobus.Window{Events: 10_000}, "not 1 to 10000"},
		{autobus.PushBatch{Bytes: -1}, nil, "batch.bytes is -1"},
		{autobus.PushBatch{Wait: autobus.Duration(2 * time.Minute)}, nil, "batch.wait is 2m0s"},
		{autobus.PushBatch{Wait: -1}, nil, "batch.wait is -1ns"},
	} {
		p := policy(c.batch, c.window)
		err := p.Check()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Detail, c.want)) {
			t.Errorf("%+v in %+v: %v, want %q", c.batch, c.window, err, c.want)
		}
	}
	small := policy(autobus.PushBatch{}, &autobus.Window{Events: 7})
	got := *small.WithDefaults().Delivery.Push.Batch
	want := autobus.PushBatch{Events: 7, Bytes: 1 << 20, Wait: autobus.Duration(100 * time.Millisecond)}
	if got != want {
		t.Errorf("defaults %+v, want %+v", got, want)
	}
	if *small.Delivery.Push.Batch != (autobus.PushBatch{}) {
		t.Error("the defaults changed the policy that was asked")
	}
}

// Nothing may follow a document, a bracket too many neither.
func TestStrictJSONIsOneDocument(t *testing.T) {
	for _, behind := range []string{"}", "]", ",", " {}", " x"} {
		var p autobus.Policy
		if err := autobus.StrictJSON([]byte(`{"types": []}`+behind), &p); err == nil {
			t.Errorf("%q behind a document is taken", behind)
		}
	}
	var p autobus.Policy
	if err := autobus.StrictJSON([]byte(" {\"types\": []}\n"), &p); err != nil {
		t.Error(err)
	}
}
