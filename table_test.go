// SPDX-License-Identifier: Apache-2.0

package autobus_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/fstest"
	"testing/synctest"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/autobustest"
)

const pricesSpec = `asyncapi: 3.1.0
info: {title: Prices, version: 1.0.0}
channels:
  set:
    address: shop.price.set.v1
    bindings: {kafka: {partitions: 2, topicConfiguration: {cleanup.policy: [compact]}}}
    messages:
      set:
        bindings: {kafka: {key: {type: string, x-from: /sku}, bindingVersion: 0.5.0}}
        payload: {type: object, required: [sku], properties: {sku: {type: string}, cents: {type: integer}}}
`

const prices = "shop.price.set.v1"

type price struct {
	SKU   string `json:"sku"`
	Cents int    `json:"cents"`
}

func gone(sku string) autobus.Event {
	e, _ := autobus.NewEvent(prices, nil, autobus.WithKey(sku))
	return e
}

func TestATableHasTheStateAndThenTheChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := autobustest.New(t, autobustest.SpecsFS(fstest.MapFS{"price.yaml": {Data: []byte(pricesSpec)}}))
		send := func(p price) {
			t.Helper()
			if _, err := autobus.Send(t.Context(), bus, prices, p); err != nil {
				t.Fatal(err)
			}
		}
		remove := func(sku string) {
			t.Helper()
			if _, err := autobus.PublishOne(t.Context(), bus, gone(sku)); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 10 {
			send(price{"tea", i})
			send(price{"milk", i})
			send(price{"salt", i})
		}
		remove("salt")
		table := autobus.NewTable()
		var changes []string
		table.Changed = func(e *autobus.Event) { changes = append(changes, string(e.Key)) }
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- table.Run(ctx, bus, prices) }()
		<-table.Ready()
		if table.Len() != 2 || len(changes) != 31 {
			t.Errorf("it has %d keys after %d changes", table.Len(), len(changes))
		}
		if e, ok := table.Get(prices, "tea"); !ok || string(e.Data) != `{"sku":"tea","cents":9}` {
			t.Errorf("tea: %s, %t", e.Data, ok)
		}
		send(price{"tea", 100})
		remove("milk")
		synctest.Wait()
		var all []string
		table.All(func(e *autobus.Event) bool { all = append(all, string(e.Data)); return true })
		if want := []string{`{"sku":"tea","cents":100}`}; !slices.Equal(all, want) {
			t.Errorf("in the end %q, want %q", all, want)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func ExampleTable() {
	var bus autobus.Bus // such as a client.Client
	table := autobus.NewTable()
	go func() {
		if err := table.Run(context.Background(), bus, "shop.price.set.v1"); err != nil {
			fmt.Println(err)
		}
	}()
	<-table.Ready()
	if e, ok := table.Get("shop.price.set.v1", "tea"); ok {
		fmt.Printf("tea: %s\n", e.Data)
	}
}
