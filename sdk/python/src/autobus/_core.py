# SPDX-License-Identifier: Apache-2.0
"""The client as it is in its own thread: the connection, what is published over it, who works on what. The twins, Bus
and sync.Bus, are shells around it."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from ._connection import Connection
from ._courier import Courier
from ._crew import Crew, Task
from ._inbox import Inbox
from ._invoke import Invoker
from ._link import Link
from ._session import Session
from ._settle import Settler
from .config import Config
from .errors import Error, error, unreachable
from .event import Event
from .hooks import Chain, LeaseLost
from .receipt import Receipt
from .settings import Settings

log = logging.getLogger("autobus")

LAST_WORDS = 5.0  # seconds for outcomes at the end
HANG_TIME = 30.0  # after which a loop that does not answer counts as hanging


class Work:
    """One subscription at work."""

    def __init__(self, core: Core, name: str, create: dict[str, Any] | None, settings: Settings, invoker: Invoker,
                 hooks: Chain):
        self.core, self.invoker = core, invoker
        settler = Settler(lambda: core.link.main, lambda t: self._uncounted(hooks, t))
        self.crew = settler.crew = Crew(name, settings, invoker, settler)
        self.settler = settler
        window = {"events": settings.window} if settings.window else None
        self.session = Session(name, create, window, self.crew)

    def _uncounted(self, hooks: Chain, t: Task) -> None:
        if self.invoker.loop is None or not self.invoker.is_async:
            hooks.run("error", t.delivery, LeaseLost())
            return
        self.invoker.loop.call_soon_threadsafe(
            lambda: asyncio.ensure_future(hooks.run_async("error", t.delivery, LeaseLost())))

    async def stop(self) -> None:
        self.session.resize({"events": 1})  # what else comes shall be as little as possible
        returned = await self.crew.wind_up()
        await self.settler.close(LAST_WORDS)
        await self.session.leave()
        self.crew.give_up()
        if returned:
            self.invoker.close()


class Core:
    """Made and used in one loop."""

    def __init__(self, config: Config, hooks: Chain):
        self.config, self.hooks = config, hooks
        self.courier = Courier(config.resend_for)
        self.works: dict[str, Work] = {}
        self.link = Link(config, self)
        self.inbox = Inbox(self.courier, self.link)
        self.closed = False
        self.beat = time.monotonic()  # when the loop was seen last
        self.beats: dict[asyncio.AbstractEventLoop, float] = {}
        self._beating = asyncio.create_task(self._beat())

    # What the link tells.

    def linked(self, conn: Connection) -> None:
        self.courier.linked(conn)
        self.inbox.linked(conn)
        for w in self.works.values():
            w.session.linked(conn)

    def unlinked(self, conn: Connection) -> None:
        self.courier.unlinked(conn)
        self.inbox.unlinked()
        for w in list(self.works.values()):
            w.session.unlinked(conn)

    def unreachable(self, why: Error) -> None:
        self.courier.unreachable(why)
        self.inbox.unreachable(why)

    def heard(self, conn: Connection, frame: dict[str, Any]) -> None:
        op = frame.get("op")
        if self.courier.answered(conn, frame) or self.inbox.heard(conn, frame):
            return
        work = self.works.get(frame.get("subscription", ""))
        if work is not None:
            work.session.heard(conn, frame)
        elif op == "error" and "seq" not in frame:
            log.warning("the bus reports: %s", Error(frame.get("error") or {}))

    # What the twins ask for.

    async def publish(self, events: list[Event], ordered: bool, resend_for: float | None) -> list[Receipt]:
        self._check()
        return await self.courier.publish(events, ordered, resend_for)

    async def connected(self, timeout: float) -> None:
        """Waits for the connection."""
        try:
            await asyncio.wait_for(self.link.up.wait(), timeout)
        except asyncio.TimeoutError:
            raise self.link.why from None

    async def work(self, name: str, create: dict[str, Any] | None, settings: Settings, invoker: Invoker,
                   hooks: Chain, stop: asyncio.Event) -> None:
        """Until stop is set, or the subscription cannot go on: then it raises."""
        self._check()
        if name in self.works:
            raise error("request_invalid", f"the subscription {name} is worked on already")
        w = self.works[name] = Work(self, name, create, settings, invoker, hooks)
        if invoker.is_async and invoker.loop is not None:
            self.beats[invoker.loop] = time.monotonic()
        if self.link.main is not None:
            w.session.linked(self.link.main)
        stopping = asyncio.create_task(stop.wait())
        ends: list[asyncio.Future[Any]] = [stopping, w.session.ended]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            await w.stop()
        finally:
            stopping.cancel()
            del self.works[name]
            if not any(v.invoker.loop is invoker.loop for v in self.works.values()):
                self.beats.pop(invoker.loop, None)  # type: ignore[arg-type]
        w.session.ended.result()

    def ready(self) -> str:
        """Empty when events can go and come; else why not."""
        if not self.link.ready:
            return str(self.link.why)
        for name, w in list(self.works.items()):
            if not w.session.ready:
                return f"the subscription {name} is not open"
        return ""

    def live(self) -> str:
        """Empty unless a loop hangs: neither an outage of the bus nor a slow handler is a reason to start anew."""
        now = time.monotonic()
        if now - self.beat > HANG_TIME:
            return "the client hangs"
        if any(now - seen > HANG_TIME for seen in list(self.beats.values())):
            return "the loop of the handlers hangs"
        return ""

    async def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        self._beating.cancel()
        await self.link.close()
        self.courier.close(unreachable("the client is closed"))
        self.inbox.close()

    def _check(self) -> None:
        if self.closed:
            raise error("server_unreachable", "the client is closed")

    async def _beat(self) -> None:
        while True:
            self.beat = time.monotonic()
            for loop in list(self.beats):
                try:
                    loop.call_soon_threadsafe(self._seen, loop)
                except RuntimeError:  # it is closed
                    self.beats.pop(loop, None)
            await asyncio.sleep(1)

    def _seen(self, loop: asyncio.AbstractEventLoop) -> None:
        if loop in self.beats:
            self.beats[loop] = time.monotonic()


