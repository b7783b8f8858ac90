// SPDX-License-Identifier: Apache-2.0

// Package bridge puts HTTP services and HTTP clients on the bus whose code nobody wants to touch: a Caller listens
// where the client sends its requests and asks with them over the bus, a Responder takes such requests from the bus and
// sends them to the service.
//
//	client --HTTP--> Caller --> bus --> Responder --HTTP--> service
//
// It owns what a proxy owns: who may use it, which host is which type, the connections to the service, and what is said
// when an exchange cannot pass. How HTTP travels is package ipc's. It refuses to know how the bus is reached: it is
// handed an autobus.Bus.
//
// # No open relay
//
// Neither side goes where a request says. A Caller serves clients of the networks it is told, loopback if of none, and
// asks for the types of its table alone. A Responder sends everything to its one service, whatever host and scheme the
// request names, and, where it is told paths, only what lies below them.
//
// # What goes wrong
//
// A Caller answers by a problem document (RFC 9457), with the status that the same refusal has in the bus's own API. A
// Responder waits for a service that is down: nothing was sent, so the request may come again. Once something was sent
// it is never sent again by the bridge; an answer that did not come, or that cannot pass, is 502 to whoever waits.
package bridge
