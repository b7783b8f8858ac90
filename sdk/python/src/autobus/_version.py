# SPDX-License-Identifier: Apache-2.0
"""The version of the package, which the gateway's log shows of each client."""

VERSION = "0.1.0"
