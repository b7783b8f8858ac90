// SPDX-License-Identifier: Apache-2.0

// Package admin is what operators and orchestrators ask an instance: its status, whether it lives, whether it is
// ready, its metrics; and the tokens by which services are known.
//
// Tokens are records of the control log, so every instance knows them, a restart is a replay and each change is
// audited by who made it and why. Authenticating looks at memory only. A revoked token closes a channel that the
// requests made with it listen to.
//
// The package refuses to know how events travel and how specs get into force: it shows what bus, control and kafka
// say of themselves. Readiness is said to it, never guessed: an instance that lost its brokers stays ready, because
// sending its clients to another instance of the same cluster helps nobody.
package admin
