// SPDX-License-Identifier: Apache-2.0

// Package client is the Go client of a gateway. A Client implements autobus.Bus, so a service is written the same way
// whether the bus is in its process or behind a network:
//
//	bus, err := client.New(client.Config{URL: "https://bus.example.com", Token: token})
//	...
//	defer bus.Close(ctx)
//
// Everything goes over one WebSocket, which any number of goroutines share: while a frame is being written, what they
// publish and settle meanwhile waits together and goes out as the next one. A tail has a connection of its own, because
// a slow one must not hold up the rest, and so has a second session of a subscription that the connection has already.
//
// It owns connections, what is in flight over them, and what becomes of it when they break. It refuses to know how
// events are handled (that is the root package's business), what is a valid event, who may do what, and Kafka. The
// principal is whom the token names; one in the context is ignored.
//
// # What becomes of a publish
//
// Publish returns when the batch stands in the client's queue, in its place; it waits for room there and for nothing
// else. Batches are sent in the order in which they were queued. What was sent and not answered when the connection
// broke is sent again, with the same ids and before anything newer, on the next connection. Only when Config.ResendFor
// is over the client gives up: what was never sent is Refused with ReasonServerUnreachable, what was is Unknown with
// ReasonOutcomeUnknown. So is what was sent again and refused then, as the first attempt may have written it; its error
// has the refusal as cause. An Unknown that the gateway tells is treated alike for a batch without a Stream. One with a
// Stream is told at once: what follows it in the stream waits for the caller to send it again, and only he knows what
// that is.
//
// The gateway holds back what follows a failed event of a key within a Stream. A new connection knows nothing of that,
// and the client knows no keys: it then holds back all events of the failed one's type, within that Stream, until the
// failed event itself is sent again.
//
// Batches without a Stream are independent of each other, also when they travel in one frame: what is refused only
// because of another batch's event is sent again, unseen.
//
// # What becomes of a subscription
//
// Subscribe opens the subscription again on every new connection, until its context ends or the gateway refuses it for
// good. When a connection is lost, the leases that came over it are revoked: their events come again. When the gateway
// drains, the old connection stays for the leases it gave while the subscription goes on over a new one. The end of the
// context is a goodbye; ErrReaderDied as its cause tells the gateway that the worker died.
//
// A tail that was cut goes on exactly behind what was handed out, in every partition: the gateway tells where the tail
// stands. Only a gateway of before, which does not, begins a little before the moment at which the tail was cut, or
// where it began at first: then too nothing is handed out twice, but a reader that was more than a few seconds behind
// misses what was on the way. Retention may overtake a tail as anybody: it then ends with ReasonPositionLost.
//
// A settlement goes over the connection its lease came by. When that one breaks before the answer, its Err is
// ReasonServerUnreachable: it may have counted.
package client
