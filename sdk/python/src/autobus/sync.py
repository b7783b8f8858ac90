# SPDX-License-Identifier: Apache-2.0
"""The bus for code without asyncio: the same names as autobus.Bus, and each call waits for its answer."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import signal
import threading
from datetime import datetime
from types import TracebackType
from typing import Any, Iterable, Iterator, Mapping, Sequence

from ._ask import Progress, answer_of, check_ask
from ._base import Base, make_event
from ._engine import Engine
from ._query import ALL, Query
from ._invoke import Invoker
from .event import Event, Reply
from .hooks import Chain
from .receipt import Receipt


class Replies(Progress):
    """As autobus.Replies, for a plain loop."""

    def __init__(self, bus: Bus, query: Query):
        super().__init__(query)
        self._bus = bus

    def __iter__(self) -> Iterator[Reply]:
        return self

    def __next__(self) -> Reply:
        r = self._bus._engine.call(self._query.next)
        if r is None:
            self._check_end()
            raise StopIteration
        return r

    def close(self) -> None:
        """Gives the replies up that did not come yet."""
        self._bus._engine.soon(self._query.close)


class Bus(Base):
    """As autobus.Bus. It is safe to use from many threads, and after a fork; `with` closes it."""

    _async_handlers = False
    _stops: Sequence[asyncio.Event] = ()
    _stopping: Engine

    def publish(self, type: str | Event, data: Any = None, *, key: str = "", id: str = "", source: str = "",
                time: datetime | None = None, subject: str = "", content_type: str = "",
                extensions: Mapping[str, str] | None = None, timeout: float | None = None) -> Receipt:
        """As autobus.Bus.publish."""
        event = make_event(type, data, key, id, source, time, subject, content_type, extensions)
        return self.publish_many([event], timeout=timeout)[0].raise_for_status()

    def publish_many(self, events: Iterable[Event], *, ordered: bool = False,
                     timeout: float | None = None) -> list[Receipt]:
        """As autobus.Bus.publish_many."""
        all_ = list(events)
        out, refused = self._outgoing(all_)
        receipts = self._engine.call(self._engine.core.publish, out, ordered, timeout) if out else []
        return self._incoming(all_, refused, receipts)

    def request(self, type: str | Event, data: Any = None, *, timeout: float = 30.0, key: str = "", id: str = "",
                source: str = "", subject: str = "", content_type: str = "",
                extensions: Mapping[str, str] | None = None) -> Reply:
        """As autobus.Bus.request."""
        event = make_event(type, data, key, id, source, None, subject, content_type, extensions)
        query = self._ask(event, 1, timeout)
        try:
            return answer_of(query, self._engine.call(query.next))
        finally:
            self._engine.soon(query.close)

    def requests(self, type: str | Event, data: Any = None, *, replies: int | str = "all", timeout: float = 30.0,
                 key: str = "", id: str = "", source: str = "", subject: str = "", content_type: str = "",
                 extensions: Mapping[str, str] | None = None) -> Replies:
        """As autobus.Bus.requests."""
        event = make_event(type, data, key, id, source, None, subject, content_type, extensions)
        return Replies(self, self._ask(event, ALL if replies == "all" else int(replies), timeout))

    def _ask(self, event: Event, want: int, timeout: float) -> Query:
        check_ask(want, timeout)
        with self._asking(event) as told:
            query = self._engine.call(self._engine.core.inbox.ask, event, want, timeout)
            told(query.receipt)
        return query

    def run(self, *, signals: bool = True) -> None:
        """As autobus.Bus.run. Only the main thread can wait for signals; in another one, call stop()."""
        works = self.start()
        over = threading.Event()
        for w in works:
            w.add_done_callback(lambda _: over.set())
        with self._signals() if signals else contextlib.nullcontext():
            try:
                while works and not over.wait(0.5):  # a signal is only heard between waits on some systems
                    pass
            finally:
                self.stop()
                concurrent.futures.wait(works)
        for w in works:
            w.result()

    def start(self) -> list[concurrent.futures.Future[None]]:
        """Begins what run() does and returns at once, with one future for each subscription."""
        engine = self._engine
        stops: list[asyncio.Event] = []
        works = []
        for r in self._registry.by_name.values():
            chain = Chain((*self._hooks, *r.hooks))
            invoker = Invoker(r.name, r.handler, r.settings.batch is not None, chain, r.settings.concurrency, None)
            stop = asyncio.Event()
            stops.append(stop)
            works.append(engine.submit(engine.core.work, r.name, r.create, r.settings, invoker, chain, stop))
        self._stops, self._stopping = stops, engine
        return works

    def stop(self) -> None:
        """Lets run() come to its end."""
        for s in self._stops:
            self._stopping.soon(s.set)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        before: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            for s in (signal.SIGTERM, signal.SIGINT):
                before[s] = signal.signal(s, lambda *_: self.stop())
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def connect(self, timeout: float = 10.0) -> None:
        """As autobus.Bus.connect."""
        self._engine.call(self._engine.core.connected, timeout)

    def close(self) -> None:
        """As autobus.Bus.close."""
        self._closed = True
        if self._running is not None and self._running.mine:
            self._running.close()

    def __enter__(self) -> Bus:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, at: TracebackType | None) -> None:
        self.close()
