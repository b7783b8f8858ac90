// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/spec"
)

// Orders of every size are what their spec asks for, keyed as the bus keys them, and as large as was asked for.
func TestOrdersAreValid(t *testing.T) {
	snapshot, err := spec.Parse(spec.Files{"events/bench/json.yaml": Spec(JSON, 6)})
	if err != nil {
		t.Fatal(err)
	}
	typ, ok := snapshot.Type(TypeName(JSON, 6))
	if !ok || typ.Partitions != 6 || !typ.BestEffort {
		t.Fatalf("type %+v", typ)
	}
	for _, size := range []int{MinSize, 65, 70, 100, 399, 400, 500, 512, 600, 650, 651, 1000, 1024, 10_240, 100_000} {
		random := rand.New(rand.NewPCG(1, 2))
		for i := range 100 {
			key := fmt.Appendf(nil, "o-%06d", i)
			v := &payload{key, order(random, key, size)}
			if err := typ.Check(v.data); err != nil {
				t.Fatalf("size %d: %v %v\n%s", size, err, err.Faults, v.data)
			}
			if got, err := typ.Key(v.data); err != nil || string(got) != string(key) {
				t.Fatalf("size %d: key %s, want %s: %v", size, got, key, err)
			}
			// Between two sizes of the frame around it a note can miss by its own frame.
			if n := len(v.data); n != size && (n > size || n < size-len(`,"note":""`)-1) {
				t.Fatalf("size %d: %d bytes\n%s", size, n, v.data)
			}
		}
	}
}

func TestOpaqueValues(t *testing.T) {
	snapshot, err := spec.Parse(spec.Files{"events/bench/opaque.yaml": Spec(Opaque, 3)})
	if err != nil {
		t.Fatal(err)
	}
	if typ, ok := snapshot.Type(TypeName(Opaque, 3)); !ok || typ.ContentType != opaqueContent || typ.Partitions != 3 {
		t.Errorf("type %+v", typ)
	}
	values := pool(Opaque, 100)
	if len(values) != 16<<10 || len(values[0].data) != 100 {
		t.Errorf("%d values, the first of %d bytes", len(values), len(values[0].data))
	}
	r := rig{Case: Case{Value: Opaque}, typ: "a.b.v1"}
	e := r.event(&values[1])
	if key, _ := e.Ext(autobus.ExtPartitionKey); key != "o-000001" || e.IsJSON() {
		t.Errorf("event %+v", e)
	}
}
