// SPDX-License-Identifier: Apache-2.0

// Package sink fills tables of a database with events, by configuration alone.
//
//	YAML -> File -> MakePlan (with the specs) -> Plan
//	kafka.Reader -> Plan.Row: record to row -> Chunk -> Target.Write: rows, bad rows, positions in one transaction
//
// Invariants: the positions in the database are the only ones that count, so every event is in the table once or among
// the bad rows once; a commit whose outcome is unknown is not guessed at, the positions are read again; a row that
// cannot be written is set aside and the others land; late events never overwrite newer ones, in whatever order and
// batches they come (Fold).
//
// What it owns: the form of the YAML, columns and their types, what a spec says about values, which event of a row is
// the newest, the loop that reads and writes. What it refuses to know: SQL and databases (store and the folders beside
// it), where specs and topics come from, commands.
package sink
