# SPDX-License-Identifier: Apache-2.0
"""A subscription of the bus in memory: who has which event, and what became of it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from .._registry import matches
from ..event import rfc3339

if TYPE_CHECKING:
    from .gateway import Peer


@dataclass
class Slot:
    """An event of a subscription."""

    event: dict[str, Any]
    attempts: int = 0
    lease: str = ""
    peer: Peer | None = None
    done: str = ""     # ack, skip, reject; empty = it is not
    last: str = ""     # the last outcome that was told
    delay: str = ""
    reason: str = ""

    @property
    def key(self) -> str:
        return str(self.event.get("partitionkey") or "")


class Queue:
    def __init__(self, name: str, policy: dict[str, Any], ack_wait: float, events: list[dict[str, Any]]):
        self.name, self.policy, self.ack_wait = name, policy, ack_wait
        self.slots: list[Slot] = []
        self.windows: dict[Peer, int] = {}  # of the sessions
        self.max_attempts = int((policy.get("retry") or {}).get("max_attempts") or 8)
        self.told: list[tuple[Slot, str]] = []  # outcomes, in their order
        self._lease = itertools.count(1)
        if policy.get("start") == "earliest":
            for e in events:
                self.offer(e)

    def wants(self, type_: str) -> bool:
        return any(matches(t, type_) for t in self.policy["types"])

    def serves(self, type_: str) -> bool:
        """Whether its workers are to reply to requests of that type."""
        return type_ in self.policy["types"]

    def offer(self, event: dict[str, Any]) -> None:
        if self.wants(event["type"]):
            self.slots.append(Slot(event))

    def open_slots(self) -> list[Slot]:
        return [s for s in self.slots if not s.done]

    def next_for(self, peer: Peer) -> list[dict[str, Any]]:
        """The deliveries that a session has room for; of a key one at a time."""
        room = self.windows.get(peer, 0) - sum(s.peer is peer for s in self.open_slots())
        out: list[dict[str, Any]] = []
        busy: set[str] = set()
        for s in self.open_slots():
            blocked = bool(s.key) and self.policy.get("order", "key") != "none" and s.key in busy
            busy.add(s.key)
            if s.lease or blocked or len(out) >= room:
                continue
            s.attempts += 1
            s.lease, s.peer = f"{self.name}-{next(self._lease)}", peer
            deadline = datetime.now(timezone.utc) + timedelta(seconds=self.ack_wait)
            d = {"lease": s.lease, "attempt": s.attempts, "fence": s.attempts, "deadline": rfc3339(deadline),
                 "event": {k: v for k, v in s.event.items() if k != "partitionkey"}}
            if s.key:
                d["key"] = s.key
            if "replyto" in s.event:
                d["reply_to"] = s.event["replyto"]
            out.append(d)
        return out

    def settle(self, result: dict[str, Any]) -> str:
        """What the bus says of an outcome; empty when it counts."""
        slot = next((s for s in self.slots if s.lease and s.lease == result.get("lease")), None)
        outcome = result.get("outcome", "")
        if outcome not in ("ack", "retry", "skip", "reject", "extend"):
            return "invalid"
        if slot is None:
            return "stale" if str(result.get("lease", "")).startswith(self.name + "-") else "unknown"
        self.told.append((slot, outcome))
        if outcome == "extend":
            return ""
        slot.last, slot.delay, slot.reason = outcome, result.get("delay", ""), result.get("reason", "")
        slot.lease, slot.peer = "", None
        if outcome != "retry":
            slot.done = outcome
        elif slot.attempts >= self.max_attempts:
            slot.done = "reject"
        return ""

    def left(self, peer: Peer) -> None:
        """Its events come again; that counts for nobody."""
        self.windows.pop(peer, None)
        for s in self.open_slots():
            if s.peer is peer:
                s.lease, s.peer, s.attempts = "", None, s.attempts - 1

    def take_back(self, lease: str) -> Slot | None:
        """Takes a lease away, as when its time is over."""
        slot = next((s for s in self.slots if s.lease == lease), None)
        if slot is not None:
            slot.lease, slot.peer = "", None
        return slot
