// SPDX-License-Identifier: Apache-2.0

package autobustest_test

import (
	"testing"
	"testing/fstest"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/autobustest"
)

const imageSpec = `
asyncapi: 3.1.0
info: {title: image stored, version: 1.0.0}
channels:
  stored: {address: shop.image.stored.v1, messages: {stored: {contentType: image/png}}}
`

// TestDataOfAnotherContentType: a type may declare that its data is not JSON; then nobody looks at it.
func TestDataOfAnotherContentType(t *testing.T) {
	bus := autobustest.New(t, autobustest.SpecsFS(fstest.MapFS{"image.yaml": {Data: []byte(imageSpec)}}))
	for _, c := range []struct {
		content string
		reason  autobus.Reason
	}{{"image/png", ""}, {"image/png; q=1", ""}, {"image/gif", autobus.ReasonContentType},
		{"application/json", autobus.ReasonContentType}} {
		_, err := autobus.PublishOne(t.Context(), bus, autobus.Event{Type: "shop.image.stored.v1",
			ContentType: c.content, Data: []byte("\x89PNG")})
		var reason autobus.Reason
		if e := autobus.AsError(err); e != nil {
			reason = e.Reason
		}
		if reason != c.reason {
			t.Errorf("%s: %v, want reason %q", c.content, err, c.reason)
		}
	}
}
