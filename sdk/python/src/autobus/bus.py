# SPDX-License-Identifier: Apache-2.0
"""The bus for asyncio. sync.Bus is its twin, of the same names, for everything else."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from datetime import datetime
from types import TracebackType
from typing import Any, AsyncIterator, Iterable, Mapping, Sequence

from ._base import Base, make_event
from ._engine import Engine
from ._query import ALL, Query
from ._invoke import Invoker
from ._ask import Progress, answer_of, check_ask
from .event import Event, Reply
from .hooks import Chain
from .receipt import Receipt


class Replies(Progress):
    """The replies to one request as they come: iterate over it. `got`, `missing` and `duplicates` tell at any time how
    far it is; `missing` lists the subscriptions that serve the type and did not reply. Raises Unknown at the end when
    there was no reply and the request may not be written: who serves it is not known then."""

    def __init__(self, bus: Bus, query: Query):
        super().__init__(query)
        self._bus = bus

    def __aiter__(self) -> AsyncIterator[Reply]:
        return self

    async def __anext__(self) -> Reply:
        r: Reply | None = await self._bus._run(self._query.next)
        if r is None:
            self._check_end()
            raise StopAsyncIteration
        return r

    async def close(self) -> None:
        """Gives the replies up that did not come yet."""
        self._bus._engine.soon(self._query.close)


class Bus(Base):
    """A gateway of the bus. It is safe to use from many tasks, loops and threads, and after a fork; `async with` closes
    it."""

    _stops: Sequence[asyncio.Event] = ()
    _stopping: Engine

    async def _run(self, work: Any, *args: Any) -> Any:
        return await asyncio.wrap_future(self._engine.submit(work, *args))

    async def publish(self, type: str | Event, data: Any = None, *, key: str = "", id: str = "", source: str = "",
                      time: datetime | None = None, subject: str = "", content_type: str = "",
                      extensions: Mapping[str, str] | None = None, timeout: float | None = None) -> Receipt:
        """Publishes an event and returns when it is written. Raises Refused when it certainly is not, Unknown when no
        answer came within `timeout` (default resend_for) seconds: then publish the same Event again."""
        event = make_event(type, data, key, id, source, time, subject, content_type, extensions)
        return (await self.publish_many([event], timeout=timeout))[0].raise_for_status()

    async def publish_many(self, events: Iterable[Event], *, ordered: bool = False,
                           timeout: float | None = None) -> list[Receipt]:
        """Publishes events in their order and returns a receipt for each; raises for none. Behind one that is to be
        sent again, later ones of the same key are refused (predecessor_failed); with `ordered`, behind one of any
        failure."""
        all_ = list(events)
        out, refused = self._outgoing(all_)
        receipts = await self._run(self._engine.core.publish, out, ordered, timeout) if out else []
        return self._incoming(all_, refused, receipts)

    async def request(self, type: str | Event, data: Any = None, *, timeout: float = 30.0, key: str = "", id: str = "",
                      source: str = "", subject: str = "", content_type: str = "",
                      extensions: Mapping[str, str] | None = None) -> Reply:
        """Asks and waits for one reply, `timeout` seconds. Raises ReplyError for an answer that is an error, Error with
        the reason `reply_timeout` when none came, `no_responder` when nobody serves the type."""
        event = make_event(type, data, key, id, source, None, subject, content_type, extensions)
        query = await self._ask(event, 1, timeout)
        try:
            return answer_of(query, await self._run(query.next))
        finally:
            self._engine.soon(query.close)

    async def requests(self, type: str | Event, data: Any = None, *, replies: int | str = "all", timeout: float = 30.0,
                       key: str = "", id: str = "", source: str = "", subject: str = "", content_type: str = "",
                       extensions: Mapping[str, str] | None = None) -> Replies:
        """Asks several services at once and returns their replies as they come: so many of them, or "all", one of each
        subscription that serves the type."""
        event = make_event(type, data, key, id, source, None, subject, content_type, extensions)
        return Replies(self, await self._ask(event, ALL if replies == "all" else int(replies), timeout))

    async def _ask(self, event: Event, want: int, timeout: float) -> Query:
        check_ask(want, timeout)
        with self._asking(event) as told:
            query: Query = await self._run(self._engine.core.inbox.ask, event, want, timeout)
            told(query.receipt)
        return query

    async def run(self, *, signals: bool = True) -> None:
        """Hands events to the handlers until it is cancelled, stop() is called or, with `signals`, SIGTERM or SIGINT
        come. Then no further handler begins, those that run have their `grace`, and what they did is told to the bus.
        Raises Error when a subscription cannot go on."""
        loop = asyncio.get_running_loop()
        engine = self._engine
        stops: list[asyncio.Event] = []
        works: list[asyncio.Future[None]] = []
        for r in self._registry.by_name.values():
            chain = Chain((*self._hooks, *r.hooks))
            invoker = Invoker(r.name, r.handler, r.settings.batch is not None, chain, r.settings.concurrency, loop)
            stop = asyncio.Event()
            stops.append(stop)
            works.append(asyncio.wrap_future(engine.submit(engine.core.work, r.name, r.create, r.settings, invoker,
                                                           chain, stop)))
        self._stops, self._stopping = stops, engine
        with self._signals(loop) if signals else contextlib.nullcontext():
            try:
                if works:
                    await asyncio.wait(works, return_when=asyncio.FIRST_COMPLETED)
            finally:
                self.stop()
                if works:
                    await asyncio.wait(works)
                for r in self._registry.by_name.values():
                    for _, handler in r.routes:
                        if hasattr(handler, "aclose"):
                            await handler.aclose()
        for w in works:
            w.result()

    def stop(self) -> None:
        """Lets run() come to its end."""
        for s in self._stops:
            self._stopping.soon(s.set)

    @contextlib.contextmanager
    def _signals(self, loop: asyncio.AbstractEventLoop) -> Any:
        mine = threading.current_thread() is threading.main_thread()
        caught = []
        for s in (signal.SIGTERM, signal.SIGINT) if mine else ():
            with contextlib.suppress(NotImplementedError, RuntimeError):  # not on every system
                loop.add_signal_handler(s, self.stop)
                caught.append(s)
        try:
            yield
        finally:
            for s in caught:
                loop.remove_signal_handler(s)

    async def connect(self, timeout: float = 10.0) -> None:
        """Waits for the connection; publish and run do so by themselves. Raises Error when there is none in time."""
        await self._run(self._engine.core.connected, timeout)

    async def close(self) -> None:
        """Says goodbye to the bus. What was published and is not answered is told as Unknown."""
        self._closed = True
        if self._running is not None and self._running.mine:
            await asyncio.get_running_loop().run_in_executor(None, self._running.close)

    async def __aenter__(self) -> Bus:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, e: BaseException | None,
                        at: TracebackType | None) -> None:
        await self.close()
