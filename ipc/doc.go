// SPDX-License-Identifier: Apache-2.0

// Package ipc is how services ask each other over the bus: one request with one reply, with several, or with all; and
// requests and answers of HTTP, so that a service moves to the bus almost unchanged.
//
//	caller, err := ipc.Open(ctx, bus)
//	reply, err := caller.Call(ctx, "pricing.quote.price.v1", Quote{SKU: "A"})   // one reply
//	query, err := caller.Ask(ctx, "pricing.quote.price.v1", Quote{SKU: "A"}, ipc.All)
//	for reply := range query.Replies() { ... }                                  // each as it comes
//	query.Result()                                                              // who is missing
//
// The other side is a worker of a subscription:
//
//	err := ipc.Serve(ctx, bus, "pricing", func(ctx context.Context, r *ipc.Request) (any, error) { ... })
//
// What wants no reply is an event: autobus.Send.
//
// What it owns: which reply belongs to which request, deadlines, and the form in which HTTP travels. It stands on
// autobus.Bus alone, in process, over a gateway or in a test. It refuses to know how replies find their way (the bus
// has inboxes), what a reply may hold (the bus asks the spec), and who may ask and answer.
//
// A request is worked on at least once: a responder that dies is replaced by another one, which begins anew (Once is
// for those that must not). A caller gets each responder's reply at most once; a call whose time is over may still be
// worked on. Work that has not begun by the deadline is not begun.
package ipc
