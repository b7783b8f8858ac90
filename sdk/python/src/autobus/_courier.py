# SPDX-License-Identifier: Apache-2.0
"""Brings events to the gateway: in the order of the calls, again under the same ids when an answer did not come, and
until it gives up nothing is told as refused that may have been written."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from typing import Any

from . import _json
from ._connection import Connection
from .errors import Error, Refused, Unknown, unreachable
from .event import Event
from .receipt import Receipt, failed, from_wire

MAX_EVENTS = 1000      # of one frame
MAX_BYTES = 4 << 20    # of one frame, about
FRAMES = 64            # in flight, where the gateway does not say
AGAIN = 0.2            # seconds before what the gateway is not sure of is sent again, about
NOT_HERE = ("shutting_down", "starting")  # the next gateway may take it


class Parcel:
    """Events on their way, in one frame."""

    def __init__(self, events: list[Event], texts: list[str | Refused], ordered: bool, number: int):
        self.events, self.texts, self.ordered, self.number = events, texts, ordered, number
        self.receipts: list[Receipt | None] = [
            failed(e.id, e.type, t) if isinstance(t, Refused) else None for e, t in zip(events, texts)]
        self.sent: list[int] = []   # the indices that the last frame had
        self.doubt: set[int] = set()  # the indices of those that a gateway may have written
        self.done: asyncio.Future[list[Receipt]] = asyncio.get_running_loop().create_future()
        self.timer: asyncio.TimerHandle | None = None

    def open(self) -> list[int]:
        return [i for i, r in enumerate(self.receipts) if r is None]

    def settle(self, i: int, receipt: Receipt) -> None:
        if i in self.doubt and receipt.status == "refused":
            # The first attempt may have written it all the same.
            receipt = failed(receipt.id, receipt.type, _doubtful(receipt.error))
        self.receipts[i] = receipt

    def settled(self) -> bool:
        if any(r is None for r in self.receipts):
            return False
        if self.timer is not None:
            self.timer.cancel()
        if not self.done.done():
            self.done.set_result([r for r in self.receipts if r is not None])
        return True


class Courier:
    def __init__(self, resend_for: float):
        self.resend_for = resend_for
        self.why: Error | None = None  # nothing will come of it, whatever is waited for
        self._queue: deque[Parcel] = deque()  # by number
        self._flying: dict[int, Parcel] = {}  # by seq
        self._line: Connection | None = None
        self._next: Connection | None = None  # whose turn it is when all is answered: only so the order is kept
        self._number = 0

    async def publish(self, events: list[Event], ordered: bool, resend_for: float | None) -> list[Receipt]:
        """One receipt for each event, in their order."""
        texts = [encode(e) for e in events]
        receipts: list[Receipt] = []
        while len(receipts) < len(events):
            a = len(receipts)
            b = a + frame_length(texts[a:a + MAX_EVENTS])
            if blocks(receipts, ordered):
                # None of a later frame may overtake an event that is to be sent again.
                why = Refused({"reason": "predecessor_failed", "code": "aborted", "retriable": True,
                               "detail": "an earlier event of the batch was not written; this one was not sent"})
                receipts += [failed(e.id, e.type, why) for e in events[a:b]]
                continue
            receipts += await self._send(events[a:b], texts[a:b], ordered, resend_for or self.resend_for)
        return receipts

    async def _send(self, events: list[Event], texts: list[str | Refused], ordered: bool,
                    resend_for: float) -> list[Receipt]:
        if self.why is not None:
            return [failed(e.id, e.type, Refused(self.why.problem)) for e in events]
        self._number += 1
        p = Parcel(events, texts, ordered, self._number)
        if not p.settled():
            p.timer = asyncio.get_running_loop().call_later(resend_for, self._give_up, p)
            self._queue.append(p)
            self._pump()
        return await p.done

    def linked(self, conn: Connection) -> None:
        self.why = None
        self._next = conn
        self._turn()

    def unlinked(self, conn: Connection) -> None:
        if self._next is conn:
            self._next = None
        if self._line is not conn:
            return
        flying, self._flying, self._line = self._flying, {}, None
        for p in sorted(flying.values(), key=lambda p: p.number, reverse=True):
            p.doubt.update(p.sent)
            if p.open():
                self._queue.appendleft(p)
        self._turn()

    def unreachable(self, why: Error) -> None:
        """There is no connection. Where none is to be hoped for, nobody has to wait for one."""
        if why.code not in ("unauthenticated", "permission_denied"):
            return
        self.why = why
        waiting, self._queue = self._queue, deque()
        for p in waiting:
            self._fail(p, Refused(why.problem))

    def answered(self, conn: Connection, frame: dict[str, Any]) -> bool:
        """Takes an answer to a frame of events, and says whether it is one."""
        if conn is not self._line or frame.get("seq") not in self._flying:
            return False
        p = self._flying.pop(frame["seq"])
        again, not_here = False, False
        if frame.get("op") == "error":
            why = Refused(frame.get("error") or {})
            for i in p.sent:
                p.settle(i, failed(p.events[i].id, p.events[i].type, why))
        for result in frame.get("results") or ():
            i = p.sent[result["index"]]
            e = p.events[i]
            r = from_wire(result, e.id, e.type)
            if r.status == "unknown":
                p.doubt.add(i)
                again = True
            elif r.status == "refused" and r.error is not None and r.error.reason in NOT_HERE:
                again = not_here = True
            elif p.receipts[i] is None:
                p.settle(i, r)
        if not p.settled() and again:
            self._again(p, not_here)
        self._turn()
        self._pump()
        return True

    def _again(self, p: Parcel, not_here: bool) -> None:
        def back() -> None:
            if p.open():
                at = next((k for k, q in enumerate(self._queue) if q.number > p.number), len(self._queue))
                self._queue.insert(at, p)
                self._pump()
        pause = random.uniform(AGAIN / 2, 2 * AGAIN) if not not_here or self._next is None else 0
        asyncio.get_running_loop().call_later(pause, back)

    def _turn(self) -> None:
        if self._next is not None and (self._line is None or not self._flying):
            self._line, self._next = self._next, None
            self._pump()

    def _pump(self) -> None:
        line = self._line
        if line is None or self._next is not None or line.closed or line.draining:
            return
        while self._queue and len(self._flying) < line.limits.get("publish_frames", FRAMES):
            p = self._queue.popleft()
            p.sent = p.open()
            if not p.sent:
                continue
            seq = line.next_seq()
            self._flying[seq] = p
            mode = ',"mode":"ordered"' if p.ordered else ""
            # In stream 0 every frame stands alone.
            line.send_text(f'{{"op":"publish","seq":{seq},"stream":0{mode},"events":['
                           + ",".join(str(p.texts[i]) for i in p.sent) + "]}")

    def _give_up(self, p: Parcel) -> None:
        if any(q is p for q in self._flying.values()):
            p.doubt.update(p.sent)
        if p in self._queue:
            self._queue.remove(p)
        never = Refused((self.why or unreachable("there was no connection in time; nothing was sent")).problem)
        unknown = Unknown({"reason": "outcome_unknown", "code": "deadline_exceeded", "retriable": True,
                           "detail": "the bus did not answer in time; the event may still be written",
                           "hint": "Publish the same event again, under the same id."})
        for i in p.open():
            p.receipts[i] = failed(p.events[i].id, p.events[i].type, unknown if i in p.doubt else never)
        p.settled()

    def _fail(self, p: Parcel, why: Error) -> None:
        for i in p.open():
            p.settle(i, failed(p.events[i].id, p.events[i].type, why))
        p.settled()

    def close(self, why: Error) -> None:
        """Gives up what is left."""
        self.why = why
        for p in [*self._queue, *self._flying.values()]:
            self._give_up(p)


def encode(e: Event) -> str | Refused:
    """The event as JSON, or why there is none."""
    try:
        text = _json.dumps(e.to_wire())
    except Refused as why:
        return why
    except (TypeError, ValueError, RecursionError) as fault:
        return _refused("data_unreadable", f"the event has no form in JSON: {fault}",
                        "Publish what JSON has a form for, or bytes with a content_type.")
    if len(text) > MAX_BYTES // 4 and len(text.encode()) > MAX_BYTES:
        return _refused("event_too_large", "the event is too large for one frame",
                        "Store large content elsewhere and publish its address.")
    return text


def _refused(reason: str, detail: str, hint: str) -> Refused:
    return Refused({"reason": reason, "code": "invalid_argument", "detail": detail, "hint": hint})


def frame_length(texts: list[str | Refused]) -> int:
    """How many of the events go into one frame; at least one does."""
    size = 0
    for n, text in enumerate(texts):
        size += len(text.encode()) if isinstance(text, str) else 0
        if size > MAX_BYTES and n > 0:
            return n
    return len(texts)


def blocks(receipts: list[Receipt], ordered: bool) -> bool:
    """Whether what follows has to wait for one of them."""
    return any(r.error is not None and (ordered or r.status == "unknown" or r.error.retriable) for r in receipts)


def _doubtful(why: Error | None) -> Unknown:
    problem = why.problem if why is not None else {}
    return Unknown({"reason": "outcome_unknown", "code": "deadline_exceeded", "retriable": True,
                    "detail": "an earlier attempt was not answered and may have been written; the next was refused: "
                              f"{problem.get('reason')}: {problem.get('detail')}"})
