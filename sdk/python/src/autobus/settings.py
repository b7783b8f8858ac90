# SPDX-License-Identifier: Apache-2.0
"""How a subscription is worked on."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from .errors import duration, error


@dataclass(frozen=True)
class Batch:
    """When a batch is full: at `events`, or when its first event has waited for `wait` seconds."""

    events: int = 100
    wait: float = 0.1


@dataclass(frozen=True)
class Settings:
    concurrency: int = 0           # handlers at a time; 0 = 4 for each processor
    batch: Batch | None = None     # None = one event at a time
    max_work: float | None = None  # seconds of one call, which then loses its lease; None = as long as it likes
    grace: float = 25.0            # seconds from the stop to the handlers' end
    window: int | None = None      # most events in hand; None = the subscription's, with batches one more than fit

    def complete(self) -> Settings:
        if self.concurrency < 0 or self.grace < 0 or (self.max_work or 0) < 0 or (self.window or 1) < 1:
            raise error("request_invalid", "concurrency, max_work and grace cannot be negative, window not below 1")
        if self.batch is not None and (self.batch.events < 1 or self.batch.wait < 0):
            raise error("request_invalid", "a batch has at least 1 event and waits for 0 s or longer")
        concurrency = self.concurrency or 4 * (os.cpu_count() or 1)
        window, batch = self.window, self.batch
        if batch is not None:
            window = window or min((concurrency + 1) * batch.events, 10_000)
            batch = Batch(min(batch.events, window), batch.wait)  # else it would never be full, and always wait
        return Settings(concurrency, batch, self.max_work, self.grace, window)


def policy(types: list[str] | tuple[str, ...] | str | None, options: dict[str, Any]) -> dict[str, Any] | None:
    """The policy that makes a subscription when there is none; None = it has to exist."""
    given = {k: v for k, v in options.items() if v is not None}
    if types is None:
        if given:
            raise error("request_invalid", f"{', '.join(given)}: only a subscription that is made here takes them",
                        hint="Name its types too.")
        return None
    made: dict[str, Any] = {"types": [types] if isinstance(types, str) else list(types)}
    retry: dict[str, Any] = {}
    for name, value in given.items():
        if name in ("backoff", "max_attempts", "max_time"):
            retry[name] = [duration(v) for v in value] if name == "backoff" else (
                duration(value) if name == "max_time" else value)
        elif name == "ack_wait":
            made[name] = duration(value)
        else:
            made[name] = value
    if retry:
        made["retry"] = retry
    return made
