// SPDX-License-Identifier: Apache-2.0

// Package push makes HTTP endpoints consumers: for each subscription that says so it runs an ordinary worker, which
// posts what it is handed and makes an outcome of the answer.
//
// It owns the requests (CloudEvents, the signature of Standard Webhooks, the handshake), which addresses may be
// reached, and what an answer means. It refuses to know Kafka, the control log and positions: it is told which
// subscriptions there are, and is a reader of an autobus.Bus like any other. Every instance may push; the Kafka group
// spreads the partitions.
//
// # What an answer means
//
// Some answers are about the event, others about the endpoint, whichever event it is. The former end as an attempt that
// counts. The latter never do: the event stays in hand, its lease extended, the endpoint is blocked and asked again
// with that one event until it takes it; all others wait. So a wrong password does not walk a backlog into the dead
// letters. The state of an endpoint is soft: another instance finds out by itself.
//
// # Which addresses
//
// An address is judged when it is dialled, after names were resolved, so a name cannot lead elsewhere meanwhile.
// Redirects are not followed, no proxy is asked.
package push
