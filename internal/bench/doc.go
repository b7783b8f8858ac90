// SPDX-License-Identifier: Apache-2.0

// Package bench measures what the bus costs beside a Kafka client that does the same work directly.
//
// It owns the work (orders of a given size, opaque bytes), the load (callers in a closed loop, or at a rate), the
// rounds that alternate between direct and bus, the processor time of the processes that take part, and the Report. It
// refuses to know how a gateway is started, what a flag is called and how a report is printed; the bus is what it is
// handed as autobus.Bus or as an address of the HTTP API.
//
// Absolute figures of a shared machine say little. What counts are ratios of rounds that follow each other, and
// processor time per event, which moves less than throughput when others use the machine too.
package bench
