// SPDX-License-Identifier: Apache-2.0

package spec

import "testing"

func TestNewest(t *testing.T) {
	types := map[string]declared{}
	for _, name := range []string{"a.b.c.v2", "a.b.c.v10", "a.b.c.v9", "a.b.d.v1", "a.b.c.d.v11"} {
		types[name] = declared{Type: &Type{Name: name}}
	}
	s := newSnapshot(types, nil)
	for name, want := range map[string]string{"a.b.c": "a.b.c.v10", "a.b.d": "a.b.d.v1", "a.b": "", "a.b.c.v2": ""} {
		got, ok := s.Newest(name)
		if ok != (want != "") || ok && got.Name != want {
			t.Errorf("%s: got %v, want %q", name, got, want)
		}
	}
}
