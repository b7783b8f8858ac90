// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"

	"github.com/autobus-io/autobus"
)

func TestPortions(t *testing.T) {
	of := func(sizes ...int) (ds []autobus.Delivery) {
		for _, n := range sizes {
			ds = append(ds, autobus.Delivery{Event: autobus.Event{Data: make([]byte, n)}})
		}
		return ds
	}
	for _, c := range []struct {
		sizes, parts []int
	}{
		{nil, nil}, {[]int{1}, []int{1}}, {[]int{1, 2, 3}, []int{3}}, {[]int{FrameBytes, 1}, []int{1, 1}},
		{[]int{FrameBytes - 1, 1, 1}, []int{2, 1}}, {[]int{1, 2 * FrameBytes, 1, 1}, []int{1, 1, 2}},
	} {
		var parts []int
		err := Portions(of(c.sizes...), func(part []autobus.Delivery) error {
			parts = append(parts, len(part))
			return nil
		})
		if err != nil || !slices.Equal(parts, c.parts) {
			t.Errorf("%v: %v, want %v", c.sizes, parts, c.parts)
		}
	}
	stop, calls := errors.New("stop"), 0
	err := Portions(of(FrameBytes, FrameBytes), func([]autobus.Delivery) error { calls++; return stop })
	if !errors.Is(err, stop) || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
}

func TestDeliveriesOfAnyEventAreLinesOfJSON(t *testing.T) {
	for _, ev := range []autobus.Event{
		{}, {ID: "\xff\n", Type: "\"", Unspecified: true, Data: []byte("{\r\n}")}, {Key: []byte{}, Data: []byte{0xff}},
		{Key: []byte{0xfe}, Subject: "\u2028", Data: []byte("nope")},
	} {
		d := autobus.Delivery{Event: ev, Lease: "\"\n", Fence: 1<<64 - 1}
		for _, line := range [][]byte{AppendDelivery(nil, &d), AppendTailed(nil, &d)} {
			var got struct {
				Key         *string `json:"key"`
				KeyBase64   *string `json:"key_base64"`
				Unspecified bool    `json:"unspecified"`
			}
			err := json.Unmarshal(line, &got)
			if err != nil || slices.Contains(line, '\n') || slices.Contains(line, '\r') {
				t.Errorf("%v %q", err, line)
			}
			if (got.Key != nil || got.KeyBase64 != nil) != (ev.Key != nil) || got.Unspecified != ev.Unspecified {
				t.Errorf("%s of %+v", line, ev)
			}
		}
	}
}
