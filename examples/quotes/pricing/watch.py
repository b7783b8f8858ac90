# SPDX-License-Identifier: Apache-2.0
"""Hooks of pricing: what a service wants around all of its work, written once."""

from __future__ import annotations

import logging
import time

import autobus

log = logging.getLogger("pricing")


class Watch(autobus.Hooks):
    """Refuses whom pricing does not serve, measures the work, and adds a header to all that pricing publishes."""

    def before(self, delivery: autobus.Delivery) -> None:
        delivery.state["begun"] = time.monotonic()
        if delivery.extensions.get("tenant") == "blocked":
            raise autobus.Reject("this tenant is not served")

    def error(self, delivery: autobus.Delivery, exc: BaseException) -> None:
        log.warning("%s went wrong: %s", delivery.id, exc)

    def retry(self, delivery: autobus.Delivery, outcome: autobus.Outcome) -> None:
        log.warning("%s comes again, attempt %d failed", delivery.id, delivery.attempt)

    def after(self, delivery: autobus.Delivery, outcome: autobus.Outcome) -> None:
        log.info("%s of %s: %s in %.1f ms", delivery.id, delivery.type, outcome.kind,
                 1000 * (time.monotonic() - delivery.state["begun"]))

    def before_publish(self, event: autobus.Event) -> None:
        event.extensions.setdefault("servedby", "pricing")
