# SPDX-License-Identifier: Apache-2.0
"""The reply address of a client, and the requests that wait for replies to it."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

from ._connection import Connection
from ._courier import Courier
from ._link import Link
from ._query import Query
from .errors import Error, Refused, Unknown, error
from .event import Event, Reply, fields_of, rfc3339

log = logging.getLogger("autobus")

OPEN_TIME = 10.0
MAX_OUTSTANDING = 50_000
OVERLAP = 5  # seconds before a break from which replies are asked for again
KEPT = 900   # seconds for which the bus keeps replies


class Inbox:
    """Opened when the first request is made, and again on each connection, under the same address where the bus lets
    it."""

    def __init__(self, courier: Courier, link: Link):
        self.courier, self.link = courier, link
        self.pending: dict[str, Query] = {}
        self._looking: dict[tuple[Connection, int], Query] = {}
        self.late = self.duplicates = self.foreign = 0
        self._wanted = False
        self._address: asyncio.Future[str] | None = None
        self._seqs: dict[Connection, int] = {}
        self._last = ""         # the address
        self._cut: float | None = None  # since when replies to it may be missed
        self._task: asyncio.Task[None] | None = None

    def linked(self, conn: Connection) -> None:
        if self._wanted:
            self._task = asyncio.create_task(self._open(conn))
        for q in self.pending.values():
            if q.again:
                self._look(q, conn)

    def _look(self, q: Query, conn: Connection) -> None:
        """Looks for replies that came when nobody waited for them."""
        self._look_away(q)
        q.looks = conn, conn.next_seq()
        self._looking[q.looks] = q
        conn.send({"op": "inbox", "seq": q.looks[1], "address": q.address, "from": f"-{KEPT}s"})

    def _look_away(self, q: Query) -> None:
        if q.looks is not None:
            conn, seq = q.looks
            if self._looking.pop(q.looks, None) is not None:
                conn.send({"op": "unsubscribe", "seq": seq})
            q.looks = None

    def forget(self, q: Query) -> None:
        self.pending.pop(q.id, None)
        self._look_away(q)

    def unreachable(self, why: Error) -> None:
        if self._address is not None and not self._address.done() and why.code in ("unauthenticated",
                                                                                    "permission_denied"):
            self._refuse(why)

    async def _open(self, conn: Connection) -> None:
        if self._address is None or self._address.done():
            self._address = asyncio.get_running_loop().create_future()
        seq = conn.next_seq()
        self._seqs = {c: s for c, s in self._seqs.items() if not c.closed}
        self._seqs[conn] = seq
        frame: dict[str, Any] = {"op": "inbox", "seq": seq}
        if self._last and self.pending:
            gone = 0.0 if self._cut is None else time.monotonic() - self._cut
            frame |= {"address": self._last, "from": f"-{int(gone) + OVERLAP}s"}
        conn.send(frame)

    def heard(self, conn: Connection, frame: dict[str, Any]) -> bool:
        """Takes what comes to the inbox, and says whether the frame was that."""
        seq, op = frame.get("seq"), frame.get("op")
        if seq is not None and (q := self._looking.get((conn, seq))) is not None:
            self._found(q, frame)
            return True
        if seq is None or self._seqs.get(conn) != seq:
            return False
        if op == "inbox":
            self._last, self._cut = frame.get("address", ""), None
            if self._address is not None and not self._address.done():
                self._address.set_result(self._last)
        elif op == "events":
            for r in replies_of(frame):
                self._take(r)
        elif op == "error":
            why = Error(frame.get("error") or {})
            if self._last:  # that address is over; those who ask from now on get another one
                log.warning("the reply address could not be kept: %s", why)
                self._last = ""
                self._task = asyncio.create_task(self._open(conn))
            else:
                self._refuse(why)
        return True

    def _found(self, q: Query, frame: dict[str, Any]) -> None:
        if frame.get("op") == "error":  # no worse than not to look
            log.debug("replies of before cannot be looked for: %s", Error(frame.get("error") or {}))
            self._looking = {at: v for at, v in self._looking.items() if v is not q}
        for r in replies_of(frame):
            if r.causation_id == q.id and r.type == q.type + ".reply":
                q.take(r)

    def _refuse(self, why: Error) -> None:
        if self._address is not None and not self._address.done():
            self._address.set_exception(why)
            self._address.exception()

    def _take(self, r: Reply) -> None:
        q = self.pending.get(r.causation_id)
        if q is None:
            self.late += 1
        elif r.type != q.type + ".reply":
            self.foreign += 1
        else:
            q.take(r)

    def unlinked(self) -> None:
        self._cut = self._cut or time.monotonic()

    async def address(self, timeout: float) -> str:
        self._wanted = True
        main = self.link.main
        if main is not None and main not in self._seqs:
            await self._open(main)
        if self._address is None:
            self._address = asyncio.get_running_loop().create_future()
        try:
            return await asyncio.wait_for(asyncio.shield(self._address), timeout)
        except asyncio.TimeoutError:
            raise Refused((self.link.why if main is None else error(
                "reply_timeout", "no reply address came in time; nothing was asked", retriable=True)).problem) from None

    async def ask(self, event: Event, want: int, timeout: float) -> Query:
        """Sends a request and returns when it is written. Raises Refused; a request of which it is not known whether it
        is written is waited for."""
        began = time.monotonic()
        address = await self.address(min(timeout, OPEN_TIME))
        if event.id in self.pending:
            raise error("id_conflict", f"a request of the id {event.id} waits for its replies already", kind=Refused)
        if len(self.pending) >= MAX_OUTSTANDING:
            raise error("quota", f"{len(self.pending)} requests wait for their replies", code="resource_exhausted",
                        retriable=True, kind=Refused)
        left = timeout - (time.monotonic() - began)
        q = Query(self, event, want, left)
        q.address = address
        until = rfc3339(datetime.now(timezone.utc) + timedelta(seconds=left))
        # The caller's own event stays as it is: asked again, it has another deadline.
        sent = replace(event, extensions={"expirytime": until, **event.extensions, "replyto": address})
        self.pending[event.id] = q
        try:
            receipt = (await self.courier.publish([sent], False, left))[0]
        except BaseException:
            q.close()
            raise
        q.receipt = receipt
        if isinstance(receipt.error, Unknown):
            q.unknown = receipt.error  # the reply will tell
        elif receipt.error is not None:
            q.close()
            raise receipt.error
        else:
            q.responders, q.known, q.again = receipt.responders, True, receipt.duplicate
        q.look()
        if q.again and event.id in self.pending and self.link.main is not None:
            self._look(q, self.link.main)
        return q

    def close(self) -> None:
        for q in list(self.pending.values()):
            q.close()


def replies_of(frame: dict[str, Any]) -> list[Reply]:
    """What a frame brings to an inbox."""
    return [Reply(**fields_of(d.get("event") or {}, d.get("key", ""))) for d in frame.get("deliveries") or ()]
