# SPDX-License-Identifier: Apache-2.0
"""Tells the story of this example: it starts and stops what takes part, and judges what comes of it."""
