# SPDX-License-Identifier: Apache-2.0
"""The bus in memory that autobus.testing shows: it speaks the frames of the protocol, so that what a test runs is the
client itself. It keeps the order per key, leases, retries, duplicates, inboxes; it refuses to know filters and
grants."""
