// SPDX-License-Identifier: Apache-2.0

// Package peer lets instances on one cluster talk to each other, as clients of each other's API: a Pool gives the bus
// of another instance, in which the principal of the context acts.
//
// Who knows the secret of the instances is one of them and is trusted in all it says: Keys makes a token that names the
// instance and the principal it acts for, with what he may do, signed by the secret. The secret itself never travels.
// The other instance reads the token in place of those of its own, and knows by Principal.Via that what comes by it was
// relayed and must not be relayed again.
//
// It owns those tokens and the connections. It refuses to know which instance is to be asked for what, which is the
// bus's business, and how a token gets into a request.
package peer
