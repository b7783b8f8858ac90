// SPDX-License-Identifier: Apache-2.0

package client_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/client"
)

// A service makes one client, and closes it when all that uses it has ended.
func ExampleNew() {
	bus, err := client.New(client.Config{
		URL:     "https://bus-1.example.com,https://bus-2.example.com",
		Token:   os.Getenv("BUS_TOKEN"),
		Service: "shop",
		Version: "1.2",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, err = autobus.Send(ctx, bus, "orders.order.placed.v1", map[string]any{"order_id": "o-1", "total": 10.5})
	fmt.Println(err)
	if err := bus.Close(ctx); err != nil {
		fmt.Println(err)
	}
}

// The probes of the service itself.
func ExampleClient_Ready() {
	bus, err := client.New(client.Config{URL: "http://localhost:7070"})
	if err != nil {
		fmt.Println(err)
		return
	}
	probe := func(ask func() error) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			if err := ask(); err != nil {
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
			}
		}
	}
	http.HandleFunc("/livez", probe(bus.Live))
	http.HandleFunc("/readyz", probe(bus.Ready))
}

// Without a gateway the client says what it lacks, and goes on trying.
func ExampleClient_Live() {
	bus, err := client.New(client.Config{URL: "http://127.0.0.1:1"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("live:", bus.Live())
	fmt.Println("ready:", bus.Ready() == nil)
	if err := bus.Close(context.Background()); err != nil {
		fmt.Println(err)
	}
	fmt.Println("closed:", bus.Live())
	// Output:
	// live: <nil>
	// ready: false
	// closed: shutting_down: the client was closed
}

// Several goroutines publish; what comes together travels together.
func ExampleClient_Publish() {
	bus, err := client.New(client.Config{URL: "http://localhost:7070"})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	stream := &autobus.Stream{} // keeps the order of each key, whatever fails
	b := &autobus.Batch{Stream: stream, Events: []autobus.Event{
		{Type: "orders.order.placed.v1", Data: []byte(`{"order_id":"o-1","total":10.5}`)},
		{Type: "orders.order.placed.v1", Data: []byte(`{"order_id":"o-2","total":7}`)},
	}}
	if err := bus.Publish(ctx, b); err != nil { // not looked at; nothing was sent
		fmt.Println(err)
		return
	}
	for i, r := range b.Wait(ctx) {
		if r.Status != autobus.Written {
			fmt.Println("send again:", b.Events[i].ID, r.Err)
		}
	}
}
