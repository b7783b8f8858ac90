# SPDX-License-Identifier: Apache-2.0
"""The reply address of a client, and which reply belongs to which request."""

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
from .errors import Error, Refused, Unknown, error
from .event import Event, Reply, fields_of, rfc3339
from .receipt import Receipt

log = logging.getLogger("autobus")

ALL = -1
OPEN_TIME = 10.0
MAX_OUTSTANDING = 50_000
OVERLAP = 5  # seconds before a break from which replies are asked for again


class Query:
    """A request that was sent, and its replies as they come. It belongs to the client's loop."""

    def __init__(self, inbox: Inbox, event: Event, want: int, timeout: float):
        self.inbox, self.id, self.type, self.want = inbox, event.id, event.type, want
        self.until = time.monotonic() + timeout
        self.responders: tuple[str, ...] = ()
        self.known = False  # responders are
        self.receipt: Receipt  # of the request, once it was sent
        self.unknown: Error | None = None  # the request may not be written
        self.got: set[str] = set()
        self.duplicates = 0
        self._seen: set[str] = set()  # ids of replies, which come again when the inbox was opened again
        self._replies: asyncio.Queue[Reply | None] = asyncio.Queue()
        self._done = False
        # Also of one whose replies nobody reads to the end: it must not stay among the pending.
        self._timer = asyncio.get_running_loop().call_later(timeout, self.close)

    async def next(self) -> Reply | None:
        """None: no more are wanted, or none came in time."""
        if self._done and self._replies.empty():
            return None
        try:
            return await asyncio.wait_for(self._replies.get(), max(0, self.until - time.monotonic()))
        except asyncio.TimeoutError:
            self.close()
            return None

    def take(self, r: Reply) -> None:
        if r.id in self._seen:
            return
        self._seen.add(r.id)
        who = r.responder or r.source
        if who in self.got:
            self.duplicates += 1
            self.inbox.duplicates += 1
            return
        self.got.add(who)
        self._replies.put_nowait(r)
        self.look()

    def look(self) -> None:
        everybody = self.known and bool(self.responders) and self.got.issuperset(self.responders)
        if everybody or 0 < self.want <= len(self.got):
            self.close()

    def close(self) -> None:
        """Replies that come from now on are late."""
        if not self._done:
            self._done = True
            self._timer.cancel()
            self._replies.put_nowait(None)
            self.inbox.pending.pop(self.id, None)

    @property
    def missing(self) -> list[str]:
        return [name for name in self.responders if name not in self.got]

    def why(self) -> Error:
        """Why there are fewer replies than were wanted."""
        if self.unknown is not None:
            return self.unknown
        return error("reply_timeout", f"{'not all replies' if self.got else 'no reply'} to {self.type} came in time",
                     retriable=True, hint="Ask again under the same id, or with a longer timeout.")


class Inbox:
    """Opened when the first request is made, and again on each connection, under the same address where the bus lets
    it."""

    def __init__(self, courier: Courier, link: Link):
        self.courier, self.link = courier, link
        self.pending: dict[str, Query] = {}
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
        if "seq" not in frame or self._seqs.get(conn) != frame["seq"]:
            return False
        op = frame.get("op")
        if op == "inbox":
            self._last, self._cut = frame.get("address", ""), None
            if self._address is not None and not self._address.done():
                self._address.set_result(self._last)
        elif op == "events":
            for d in frame.get("deliveries") or ():
                self._take(Reply(**fields_of(d.get("event") or {}, d.get("key", ""))))
        elif op == "error":
            why = Error(frame.get("error") or {})
            if self._last:  # that address is over; those who ask from now on get another one
                log.warning("the reply address could not be kept: %s", why)
                self._last = ""
                self._task = asyncio.create_task(self._open(conn))
            else:
                self._refuse(why)
        return True

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
            q.responders, q.known = receipt.responders, True
        q.look()
        return q

    def close(self) -> None:
        for q in list(self.pending.values()):
            q.close()
