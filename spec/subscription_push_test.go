// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
)

func pushing(push string) string {
	return "  take:\n    action: receive\n    channel: {$ref: '../events/a.yaml#/channels/made'}\n" +
		"    bindings: {kafka: {groupId: {type: string, const: shop}}}\n    x-subscription:\n      delivery: " + push + "\n"
}

func TestASubscriptionThatIsPushed(t *testing.T) {
	s, err := serviceFile(t, "{title: shop, version: 1.0.0}",
		pushing("{push: {url: 'https://shop.example/in', batch: {events: 50, bytes: 4096, wait: 1s}, "+
			"secret-file: shop, handshake: true}}"))
	if err != nil {
		t.Fatal(err)
	}
	early := pushing("{push: {url: 'https://shop.example/in', batch: {events: 500}}}\n      window: 500")
	if _, err := serviceFile(t, "{title: shop, version: 1.0.0}", early); err != nil {
		t.Errorf("a batch that stands before its window: %v", err)
	}
	want := &autobus.Push{URL: "https://shop.example/in", Batch: &autobus.PushBatch{Events: 50, Bytes: 4096,
		Wait: autobus.Duration(time.Second)}, SecretFile: "shop", Handshake: true}
	if got := subscription(t, s, "shop").Policy.Delivery.Push; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
	for push, want := range map[string]string{"{push: {url: 'http://shop.example'}}": "not https",
		"{pull: {}}": "there is no key pull", "{push: {url: 7}}": "url must be a string",
		"{push: {url: 'https://shop.example', batch: {events: 0}}}": "events",
		"{push: {url: 'https://shop.example', batch: {wait: 2m}}}":  "wait is 2m0s",
		"{push: {url: 'https://shop.example', secret: x}}":          "there is no key secret"} {
		if _, err := serviceFile(t, "{title: shop, version: 1.0.0}", pushing(push)); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", push, err, want)
		}
	}
}
