// SPDX-License-Identifier: Apache-2.0

// Package doctor looks for what is wrong around a bus: with the brokers, the topics it relies on, clocks, ports, the
// embedded broker's folder, and what a running instance says of itself. Each check gives findings, and a finding that
// is not ok says how to mend it.
//
// It looks from outside and changes nothing, so it works while an instance runs and while none can: that is when people
// ask. What cannot be found out is skipped, and said to be, never taken for good.
//
// What it owns: what the bus relies on, as checks. What it refuses to know: configuration files, commands and how
// findings are printed; who calls it opens the cluster and reads the files.
package doctor
