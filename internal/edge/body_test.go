// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"bytes"
	"errors"
	"testing"
	"testing/iotest"
)

func TestABodyIsReadInPieces(t *testing.T) {
	for _, n := range []int{0, 1, bytes.MinRead, bytes.MinRead + 1, 100_000, 3 << 20} {
		want := make([]byte, n)
		for i := range want {
			want[i] = byte(i * 7)
		}
		got, err := readPieces(iotest.HalfReader(bytes.NewReader(want)), bytes.MinRead)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes: %d came, %v", n, len(got), err)
		}
	}
	broken := errors.New("broken")
	if _, err := readPieces(iotest.ErrReader(broken), 10); !errors.Is(err, broken) {
		t.Errorf("a body that breaks off: %v", err)
	}
}
