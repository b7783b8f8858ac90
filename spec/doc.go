// SPDX-License-Identifier: Apache-2.0

// Package spec reads a repository of event specs and judges data by it.
//
// It owns: the form of the repository (AsyncAPI 3.1 documents whose payloads are JSON Schema draft-07, $ref between
// files), what an event type is (Type), whether data is readable and matches its type (CheckJSON, Type.Check), where
// its partition key is (Type.Key), all that an event is refused for (CheckEvent), which groups the services declare
// (Subscription), whether two versions get along (CheckSpecs, CheckSchemas), the rules that specs should follow (Lint),
// and how foreign schemas come in and specs go out (ImportSchema, ExportAsyncAPI). Parse gives a whole Snapshot or all
// Problems at once, never half of one.
//
// What the loader refuses is told by the linter under the rule whose matter it is, and judged nowhere else: a Problem
// knows its rule. The rules are one file each, rule_s01.go to rule_s30.go; they look at the same places (lint_walk.go)
// and never decide whether a spec can be used.
//
// Valid data, which is most of it, takes one pass over the raw bytes (compile*.go make the rules, walk*.go follow
// them): JSON as CheckJSON wants it, the schema, closed writers, and the key. The pass never refuses. What it does not
// take, because it is invalid, unusual, or the schema says what it does not know, goes the long way: scan.go and the
// validator judge it, and explain.go finds the words.
//
// It refuses to know where specs come from, when they change and what topics they become: no goroutine, no clock, no
// network, no Kafka. A Snapshot and what it gives are immutable and safe for any number of readers.
//
// Writers are closed: a field that no applicable schema declares is refused, as unevaluatedProperties of later drafts
// would do, unless the spec says x-writers: open. Specs themselves never say additionalProperties: false, so readers
// stay open.
//
// asyncapi-3.1.0.json.gz is the schema of AsyncAPI documents, unchanged but for white space, from the package
// @asyncapi/specs 6.11.1. NOTICE: Copyright 2016-2025 AsyncAPI Initiative; licensed under the Apache License 2.0.
// This product includes software developed at AsyncAPI Initiative (http://www.asyncapi.com/).
package spec
