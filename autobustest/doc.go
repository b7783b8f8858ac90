// SPDX-License-Identifier: Apache-2.0

// Package autobustest is an autobus.Bus in memory, for the unit tests of services. A test publishes and consumes
// through it as the service does through the real bus, without a network, a broker or a wait:
//
//	bus := autobustest.New(t, autobustest.Specs("../specs"))
//	service := shipping.New(bus)
//	...
//	bus.AwaitPublished("shipping.parcel.sent.v1", 1)
//
// What it owns: the rules of the bus over slices instead of a log. Events are validated by the specs, get their key,
// partition and offset, are recognized when they come again under their id, and are refused for the reasons that the
// real bus gives. Subscriptions keep the order per key, leases, windows, retries with backoff and dead letters. On top
// of that a test can inject failures (Bus.FailPublish, Bus.FailSettle, Bus.Revoke, Bus.Disconnect, Bus.Drain,
// Bus.LosePosition) and look at what happened (Bus.Published, Bus.Settled, Bus.DeadLetters, Bus.Idle). That it behaves
// as the real bus does is held by the conformance suite, which both pass.
//
// What it refuses to know: Kafka, protocols, tokens, files beside specs, and CEL, whose filters are replaced by Go
// functions (Filter). It keeps everything until the test ends and is made for some thousand events, not for load.
//
// # Time
//
// Leases and backoffs take their time from the package time, so that within a bubble of testing/synctest they pass at
// once; that is the recommended way, and New belongs inside the bubble. Outside of one, Bus.Advance moves the clock of
// the bus on; with the option Clock it stands still but for that.
//
// # Without specs
//
// Without the option Specs every type is taken unspecified, as autobus dev does: data that says it is JSON has to be
// readable, and no more is checked. With specs an unknown type is refused.
//
// All methods may be called from any goroutine, but for those that say that they fail the test: they belong to the
// test's own.
package autobustest
