# SPDX-License-Identifier: Apache-2.0
"""What both twins have: how they are made, their decorators, their health."""

from __future__ import annotations

import contextlib
import ssl as _ssl
import threading
from datetime import datetime
from typing import Any, Callable, Iterable, Iterator, Mapping, Sequence, TypeVar

from ._engine import Engine
from ._invoke import is_async
from ._registry import Registry
from ._serve import answering, answering_async
from .config import Config, Token
from .errors import Error, error
from .event import Event, new_id
from .hooks import Chain, Hooks
from .receipt import Receipt, failed
from .settings import Batch, Settings

H = TypeVar("H", bound=Callable[..., Any])


class Base:
    _async_handlers = True

    def __init__(self, url: str = "", *, token: str | Callable[[], str | Token] | None = None, service: str = "",
                 version: str = "", hooks: Iterable[Hooks] = (), ssl: _ssl.SSLContext | None = None,
                 resend_for: float = 30.0, min_backoff: float = 0.1, max_backoff: float = 10.0):
        """Makes a client; it connects when it is first used, once in each process.

        - `url`: the address of the bus, several by commas; default AUTOBUS_SERVER, else http://localhost:7070.
        - `token`: who the service is, or a function that fetches it (a Token where it expires); default AUTOBUS_TOKEN.
        - `service`, `version`: the service's name, for the log of the bus.
        - `hooks`: around everything that is published and handled here.
        - `resend_for`: seconds for which an event is kept and sent again while no answer comes.
        - `min_backoff`, `max_backoff`: bounds, in seconds, of the wait before connecting again.
        """
        self._config = Config(url, token, service, version, ssl, resend_for, min_backoff, max_backoff)
        self._config.check()
        self._hooks = tuple(hooks)
        self._chain = Chain(self._hooks)
        self._registry = Registry()
        self._lock = threading.Lock()
        self._running: Engine | None = None
        self._closed = False

    @property
    def _engine(self) -> Engine:
        with self._lock:
            if self._closed:
                raise error("server_unreachable", "the client is closed")
            if self._running is None or not self._running.mine:
                self._running = Engine(self._config, self._chain)
            return self._running

    def subscribe(self, subscription: str, *, types: str | Sequence[str] | None = None, filter: str | None = None,
                  params: Mapping[str, str] | None = None, start: Any = None, order: str | None = None,
                  queue: bool | None = None, ack_wait: float | str | None = None,
                  backoff: Sequence[float | str] | None = None, max_attempts: int | None = None,
                  max_time: float | str | None = None, on_exhausted: str | None = None, owner: str | None = None,
                  concurrency: int = 0, batch: Batch | None = None, max_work: float | None = None, grace: float = 25.0,
                  window: int | None = None, hooks: Iterable[Hooks] = ()) -> Callable[[H], H]:
        """Makes a function the handler of a subscription; run() then hands events to it.

        With `types` (names or patterns such as orders.*) the subscription is made when there is none, and `filter`,
        `params`, `start` ("earliest", "latest", {"time": ...}), `order` ("key", "none"), `queue`, `ack_wait`,
        `backoff`, `max_attempts`, `max_time`, `on_exhausted` ("dlq", "drop"), `owner` are its policy. One that exists
        with another policy is not changed: run() raises subscription_exists. Without `types` it has to exist.

        The handler gets a Delivery, with `batch` a list of them. When it returns, the event is done; when it raises,
        the event comes again, see Retry, Skip, Reject. A batch handler may return a list with None or an error for
        each. `concurrency` handlers run at a time (0 = four for each processor), each at most `max_work` seconds;
        leases are extended meanwhile. `window` is how many events are in hand.
        """
        options = {"filter": filter, "params": dict(params) if params else None, "start": start, "order": order,
                   "queue": queue, "ack_wait": ack_wait, "backoff": backoff, "max_attempts": max_attempts,
                   "max_time": max_time, "on_exhausted": on_exhausted, "owner": owner}
        settings = Settings(concurrency, batch, max_work, grace, window)

        def register(handler: H) -> H:
            self._check_handler(handler)
            self._registry.add(subscription, types, options, settings, hooks, handler)
            return handler
        return register

    def serve(self, type: str, *, subscription: str, create: bool = True, concurrency: int = 0,
              max_work: float | None = None, grace: float = 25.0, hooks: Iterable[Hooks] = (),
              **policy: Any) -> Callable[[H], H]:
        """Makes a function the one that answers requests of a type; run() then hands them to it.

        It gets a Delivery and returns the reply's data (or a Reply, for other content or extensions). It raises Fault
        for an error that the spec declares, Retry to see the request again, Skip to answer nothing; any other error
        tells the caller that there is no answer, and the request is set aside. A request whose deadline is over is
        skipped without a call. `subscription` is the service's own and made when there is none, by the `policy` of
        subscribe; all instances of the service share it. With `create=False` it has to exist, whatever its policy, as
        where the specs declare it.
        """
        settings = Settings(concurrency, None, max_work, grace, None)

        def register(handler: H) -> H:
            self._check_handler(handler)
            wrap = answering_async if is_async(handler) else answering
            self._registry.add(subscription, type, policy, settings, hooks,
                               wrap(self, subscription, handler), create)
            return handler
        return register

    def _check_handler(self, handler: Callable[..., Any]) -> None:
        if is_async(handler) and not self._async_handlers:
            raise error("request_invalid", "the handlers of sync.Bus are plain functions",
                        hint="Use autobus.Bus for async ones.")

    def ready(self) -> bool:
        """Whether events can go and come: for a readiness probe. False while there is no connection."""
        return not self.unready()

    def unready(self) -> str:
        """Why it is not ready; empty when it is."""
        r = self._running
        return "not connected yet" if r is None or not r.mine else r.core.ready()

    def live(self) -> bool:
        """Whether nothing hangs: for a liveness probe. It stays true while the bus is away."""
        r = self._running
        return r is None or not r.mine or not r.core.live()

    def _outgoing(self, events: list[Event]) -> tuple[list[Event], dict[int, Receipt]]:
        """Calls before_publish; the receipts are those of events that a hook refused."""
        refused: dict[int, Receipt] = {}
        for i, e in enumerate(events):
            try:
                self._chain.run("before_publish", e)
            except Error as why:
                refused[i] = failed(e.id, e.type, why)
        return [e for i, e in enumerate(events) if i not in refused], refused

    @contextlib.contextmanager
    def _asking(self, event: Event) -> Iterator[Callable[[Receipt], None]]:
        """Puts the hooks of publishing around a request. What it gives takes the receipt of one that was sent."""
        try:
            self._chain.run("before_publish", event)
            yield lambda receipt: self._chain.run("after_publish", event, receipt)
        except Error as why:
            self._chain.run("after_publish", event, failed(event.id, event.type, why))
            raise

    def _incoming(self, events: list[Event], refused: dict[int, Receipt], receipts: list[Receipt]) -> list[Receipt]:
        rest = iter(receipts)
        all_ = [refused[i] if i in refused else next(rest) for i in range(len(events))]
        for e, r in zip(events, all_):
            self._chain.run("after_publish", e, r)
        return all_


def make_event(event: str | Event, data: Any, key: str, id: str, source: str, time: datetime | None, subject: str,
               content_type: str, extensions: Mapping[str, str] | None) -> Event:
    if isinstance(event, Event):
        return event
    return Event(event, data, id or new_id(), source, time, subject, key, content_type, dict(extensions or {}))
