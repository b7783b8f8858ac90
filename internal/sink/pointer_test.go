// SPDX-License-Identifier: Apache-2.0

package sink

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// value draws JSON as a decoder gives it, three levels deep.
func value(depth int) *rapid.Generator[any] {
	return rapid.Custom(func(t *rapid.T) any {
		kinds := 4
		if depth > 0 {
			kinds = 6
		}
		switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
		case 0:
			return nil
		case 1:
			return rapid.Bool().Draw(t, "bool")
		case 2:
			return float64(rapid.IntRange(-1000, 1000).Draw(t, "number"))
		case 3:
			return rapid.StringOf(rapid.SampledFrom([]rune("ab,:{}[]\"\\/~ é\n"))).Draw(t, "text")
		case 4:
			return rapid.SliceOfN(value(depth-1), 0, 4).Draw(t, "items")
		}
		return rapid.MapOfN(rapid.SampledFrom([]string{"a", "b", "0", "1", "a/b", "~", "é", "x\"y"}), value(depth-1), 0, 5).
			Draw(t, "members")
	})
}

// lookup is a second opinion: the value at a pointer in decoded JSON.
func lookup(v any, steps []string) (any, bool) {
	for _, s := range steps {
		switch x := v.(type) {
		case map[string]any:
			var ok bool
			if v, ok = x[s]; !ok {
				return nil, false
			}
		case []any:
			i, ok := itemIndex(s)
			if !ok || i >= len(x) {
				return nil, false
			}
			v = x[i]
		default:
			return nil, false
		}
	}
	return v, true
}

func TestFinderFindsWhatADecoderFinds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := value(3).Draw(t, "value")
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if rapid.Bool().Draw(t, "indented") {
			raw, _ = json.MarshalIndent(v, " ", "\t")
		}
		var f finder
		var paths [][]string
		for i := range rapid.IntRange(1, 6).Draw(t, "pointers") {
			steps := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "0", "1", "a/b", "~", "é", "x\"y"}), 0, 3).
				Draw(t, fmt.Sprint("pointer", i))
			pointer := ""
			for _, s := range steps {
				pointer += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(s)
			}
			f.add(pointer, i)
			paths = append(paths, steps)
		}
		out := make([][]byte, len(paths))
		if end := f.find(raw, 0, out); end != len(raw) {
			t.Fatalf("ended at %d of %d", end, len(raw))
		}
		for i, steps := range paths {
			want, there := lookup(v, steps)
			if (out[i] != nil) != there {
				t.Fatalf("%v in %s: found %q, want there %v", steps, raw, out[i], there)
			}
			var got any
			if there && (json.Unmarshal(out[i], &got) != nil || !reflect.DeepEqual(got, want)) {
				t.Fatalf("%v in %s: found %q", steps, raw, out[i])
			}
		}
	})
}

func TestEachGivesTheItems(t *testing.T) {
	for raw, want := range map[string]string{
		`[]`: "", `[ ]`: "", `[1]`: "1", `[ {"a":[1,2]} , "x,]" ,null]`: `{"a":[1,2]}|"x,]"|null`,
	} {
		var got []string
		if !each([]byte(raw), func(item []byte) { got = append(got, string(item)) }) || strings.Join(got, "|") != want {
			t.Errorf("%s: got %q", raw, got)
		}
	}
	if each([]byte(`{"a":1}`), func([]byte) {}) {
		t.Error("an object was taken for an array")
	}
}
