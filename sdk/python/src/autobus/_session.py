# SPDX-License-Identifier: Apache-2.0
"""A subscription over one connection after the other: opened again on each, until it is left or refused for good."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Protocol

from ._connection import Connection
from .errors import Error
from .event import Delivery, fields_of, parse_time

log = logging.getLogger("autobus")

ANSWER_TIME = 30.0  # of a subscribe: the bus may have to make the subscription first
LEAVE_TIME = 5.0
FIRST_PAUSE, MAX_PAUSE = 1.0, 30.0


class Worker(Protocol):
    """Who does the work."""

    def opened(self, conn: Connection) -> None: ...
    def take(self, conn: Connection, deliveries: list[tuple[str, Delivery]]) -> None: ...
    def revoke(self, leases: list[str]) -> None: ...
    def lose_all(self, conn: Connection) -> None: ...


class Session:
    def __init__(self, name: str, create: dict[str, Any] | None, window: dict[str, int] | None, worker: Worker):
        self.name, self.create, self.window, self.worker = name, create, window, worker
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ready = False
        self._conns: list[Connection] = []  # those that it has leases of; the last one is the current
        self._opening: asyncio.Task[None] | None = None

    @property
    def current(self) -> Connection | None:
        return self._conns[-1] if self._conns else None

    def linked(self, conn: Connection) -> None:
        self._open(conn, FIRST_PAUSE, 0)

    def _open(self, conn: Connection, pause: float, after: float) -> None:
        if self.ended.done():
            return
        if self._opening is not None:
            self._opening.cancel()
        self._opening = asyncio.create_task(self._subscribe(conn, pause, after))

    async def _subscribe(self, conn: Connection, pause: float, after: float) -> None:
        await asyncio.sleep(after)
        frame: dict[str, Any] = {"op": "subscribe", "subscription": self.name}
        if self.window:
            frame["window"] = self.window
        if self.create is not None:
            frame["create"] = self.create
        self._conns.append(conn)  # events may come right behind the answer
        try:
            await conn.ask(frame, ANSWER_TIME)
        except Error as e:
            self._drop(conn)
            if conn.closed:
                return  # the next connection is on its way
            self._refused(conn, e, pause)
        else:
            self.ready = True
            self.worker.opened(conn)

    def _refused(self, conn: Connection, e: Error, pause: float) -> None:
        if not e.retriable:
            if not self.ended.done():
                self.ended.set_exception(e)
                self.ended.exception()
            return
        log.warning("the subscription %s ended and is opened anew in %.0f s: %s", self.name, pause, e)
        self._open(conn, min(2 * pause, MAX_PAUSE), e.retry_after or pause)

    def heard(self, conn: Connection, frame: dict[str, Any]) -> None:
        """Takes a frame that names the subscription."""
        op = frame.get("op")
        if op == "events":
            self.worker.take(conn, [self._delivery(d) for d in frame.get("deliveries") or ()])
        elif op == "revoke":
            self.worker.revoke(frame.get("leases") or [])
        elif op == "position_lost":
            log.error("%s: events of %s were deleted before they were read; see the bus's operators", self.name,
                      frame.get("type"))
        elif op == "error":
            self.worker.lose_all(conn)
            was = conn is self.current
            self._drop(conn)
            if was:
                self._refused(conn, Error(frame.get("error") or {}), FIRST_PAUSE)

    def _delivery(self, wire: dict[str, Any]) -> tuple[str, Delivery]:
        fields = fields_of(wire.get("event") or {}, wire.get("key", ""))
        return wire["lease"], Delivery(
            **fields, attempt=wire.get("attempt", 1), fence=wire.get("fence", 0),
            deadline=parse_time(wire.get("deadline")), subscription=self.name,
            reply_to=wire.get("reply_to") or fields["extensions"].get("replyto", ""))

    def unlinked(self, conn: Connection) -> None:
        if conn in self._conns:
            self.worker.lose_all(conn)
            self._drop(conn)

    def _drop(self, conn: Connection) -> None:
        if conn is self.current:
            self.ready = False
        if conn in self._conns:
            self._conns.remove(conn)

    def resize(self, window: dict[str, int]) -> None:
        self.window = window
        for conn in self._conns:
            conn.send({"op": "window", "subscription": self.name, "window": window})

    async def leave(self) -> None:
        """Says goodbye everywhere, and waits until the bus took note."""
        self.ready = False
        if self._opening is not None:
            self._opening.cancel()
        if not self.ended.done():
            self.ended.set_result(None)
        frame = {"op": "unsubscribe", "subscription": self.name}
        await asyncio.gather(*(c.ask(frame, LEAVE_TIME) for c in self._conns), return_exceptions=True)
        self._conns.clear()
