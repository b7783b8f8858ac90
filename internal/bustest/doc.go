// SPDX-License-Identifier: Apache-2.0

// Package bustest is what the tests of the bus share: the real Kafka cluster of a test run and its faults, the embedded
// broker, a PostgreSQL server, one conformance suite for everything that implements autobus.Bus, and a history of what
// was published and consumed with its checker. Only tests import it.
//
// It refuses to know how the bus works inside. The suite publishes through autobus.Bus and judges by the log, read with
// kafka.Log: what the bus says of itself counts for nothing until the records say so too. Leaders and in-sync replicas
// come from requests of its own, not from the client that is under test.
//
// A run of the repository's tests starts one cluster and names it in the environment (tools/suites):
//
//	AUTOBUS_TEST_KAFKA      bootstrap list, host:port separated by commas
//	AUTOBUS_TEST_KAFKA_DIR  folder with the pid and the start script of each node, see tools/kafka.sh
//
// Topics and types on it carry a prefix that is new for each test, so that tests never meet.
package bustest
