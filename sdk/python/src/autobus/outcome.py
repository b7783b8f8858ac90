# SPDX-License-Identifier: Apache-2.0
"""What becomes of a delivered event: a handler that returns acknowledges it, one that raises says otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Sequence

MAX_REASON = 1024  # bytes that are kept of a reason


@dataclass(frozen=True)
class Outcome:
    """`kind` is ack, retry, skip or reject; empty when nothing is told, because the event is somebody else's now or the
    worker stopped. `delay` is in seconds, None = by the subscription's backoff."""

    kind: str
    delay: float | None = None
    reason: str = ""


class Verdict(Exception):
    """What the classes below have in common."""

    kind = "retry"
    delay: float | None = None


class Retry(Verdict):
    """Raised by a handler whose event should come again, after `delay` seconds; as any other error does, which counts
    as an attempt."""

    def __init__(self, reason: str = "", delay: float | None = None):
        super().__init__(reason or "again")
        self.delay = delay


class Skip(Verdict):
    """Raised by a handler that has nothing to do for the event: it is done, and counted apart."""

    kind = "skip"

    def __init__(self, reason: str = "skipped"):
        super().__init__(reason)


class Reject(Verdict):
    """Raised by a handler for whom no further attempt would help: the event is set aside at once."""

    kind = "reject"

    def __init__(self, reason: str = "rejected"):
        super().__init__(reason)


ACK = Outcome("ack")


def outcome_of(result: BaseException | Outcome | None) -> Outcome:
    """Ack of None, what a Verdict says, and retry of every other error."""
    if result is None:
        return ACK
    if isinstance(result, Outcome):
        return result
    reason = clip(str(result) or type(result).__name__)
    if isinstance(result, Verdict):
        return Outcome(result.kind, result.delay, reason)
    return Outcome("retry", None, clip(f"{type(result).__name__}: {reason}"))


def clip(text: str) -> str:
    return text.encode("utf-8", "replace")[:MAX_REASON].decode("utf-8", "ignore")


def per_event(result: Any, n: int) -> list[BaseException | None]:
    """What a batch handler returned means for each of its n events. One that is no list of n is the handler's fault,
    and then every event comes again."""
    if result is None:
        return [None] * n
    if isinstance(result, BaseException):
        return [result] * n
    if isinstance(result, Sequence) and len(result) == n and all(
            r is None or isinstance(r, BaseException) for r in result):
        return list(result)
    fault = TypeError(f"a batch handler returns None, or a list of {n}: None for an event that is done, else an error")
    return [fault] * n
