# SPDX-License-Identifier: Apache-2.0
"""A bus in memory for the tests of services: no network, nothing to start, milliseconds.

    def test_an_order_is_billed(autobus_fake):
        autobus_fake.attach(billing.bus)            # the service's own Bus, of either twin
        with autobus_fake.running(billing.bus):
            autobus_fake.publish("orders.order.placed.v1", {"order_id": "o-1", "total": 10.5})
            autobus_fake.idle("billing")
        assert autobus_fake.published("billing.bill.sent.v1")[0].data == {"order_id": "o-1"}

What runs is the client itself, so events keep their order per key, are tried again, become dead letters, and replies
find their way. Retries come at once. Filters are not evaluated."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import threading
from pathlib import Path
from typing import Any, Callable, Iterator

from . import sync
from ._base import Base
from ._fake.gateway import Gateway
from ._fake.log import Plan
from ._fake.memory import Dialer
from ._fake.specs import Specs
from .bus import Bus
from .event import Delivery, Event, fields_of
from .outcome import Outcome
from .errors import seconds

WAIT = 5.0  # seconds for what has to come


class Fake:
    """The bus in memory. With `specs`, a folder, data is checked by the specs there (pip install 'autobus[specs]')."""

    def __init__(self, specs: str | Path | Specs | None = None, ack_wait: float = 30.0):
        check = Specs(specs) if isinstance(specs, (str, Path)) else specs or (lambda event: None)
        self.gateway = Gateway(check, ack_wait)
        self._dialer = Dialer(self.gateway)
        self._buses: list[Base] = []
        self._own: sync.Bus | None = None

    def bus(self, **options: Any) -> Bus:
        """A client of it, for asyncio."""
        made = Bus(**options)
        self.attach(made)
        return made

    def sync_bus(self, **options: Any) -> sync.Bus:
        """A client of it, without asyncio."""
        made = sync.Bus(**options)
        self.attach(made)
        return made

    def attach(self, bus: Any) -> Any:
        """Lets a Bus that exists, with its handlers, talk to this one from now on. Close puts it back."""
        if not any(b is bus for b in self._buses):
            self._buses.append(bus)
            bus._before = bus._config
            bus._config = dataclasses.replace(bus._config, dial=self._dialer, min_backoff=0.0, max_backoff=0.01)
            bus._running = None
        return bus

    @contextlib.contextmanager
    def running(self, bus: Any) -> Iterator[Any]:
        """Runs the handlers of a Bus meanwhile, in threads of its own, and waits for their subscriptions to open."""
        self.attach(bus)
        loop = None
        if isinstance(bus, sync.Bus):
            works: list[Any] = bus.start()
        else:
            loop = asyncio.new_event_loop()
            thread = threading.Thread(target=loop.run_forever, name="autobus-test", daemon=True)
            thread.start()
            works = [asyncio.run_coroutine_threadsafe(bus.run(signals=False), loop)]
        try:
            self._wait(lambda: any(w.done() for w in works) or all(
                n in self.gateway.queues and self.gateway.queues[n].windows for n in bus._registry.by_name),
                "the subscriptions are open")
            yield bus
        finally:
            bus.stop()
            for w in works:
                w.result(2 * WAIT)
            if loop is not None:
                loop.call_soon_threadsafe(loop.stop)
                thread.join(WAIT)
                loop.close()

    # What a test does.

    def publish(self, type: str | Event, data: Any = None, **attributes: Any) -> Event:
        """Publishes from outside the service."""
        if self._own is None:
            self._own = self.sync_bus()
        event = type if isinstance(type, Event) else Event(type, data, **attributes)
        self._own.publish(event)
        return event

    def refuse(self, reason: str, times: int = 1, when: Callable[[Event], bool] = lambda e: True,
               retriable: bool = False) -> None:
        """Lets the next publishes be refused."""
        self._plan("refuse", times, when, {"reason": reason, "code": "unavailable" if retriable else "invalid_argument",
                                           "detail": "the test refuses it", "retriable": retriable})

    def lose_requests(self, times: int = 1, when: Callable[[Event], bool] = lambda e: True) -> None:
        """Cuts the connection before an event is written."""
        self._plan("lose_request", times, when, {})

    def lose_answers(self, times: int = 1, when: Callable[[Event], bool] = lambda e: True) -> None:
        """Cuts the connection after an event is written and before that is told."""
        self._plan("lose_answer", times, when, {})

    def disconnect(self) -> None:
        """Cuts all connections; clients come back by themselves."""
        with self.gateway.changed:
            peers = list(self.gateway.peers)
        for p in peers:
            p.cut()

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """There is no bus meanwhile."""
        self._dialer.away = True
        self.disconnect()
        self._wait(lambda: not self.gateway.peers, "the connections are cut")
        try:
            yield
        finally:
            self._dialer.away = False

    # What a test looks at.

    def published(self, type: str | None = None) -> list[Event]:
        """The events that were written, of one type or all."""
        with self.gateway.changed:
            return [Event(**fields_of(e)) for e in self.gateway.log.events if type in (None, e["type"])]

    def await_published(self, type: str, count: int = 1) -> list[Event]:
        """Waits until so many events of a type are written."""
        self._wait(lambda: len(self.published(type)) >= count, f"{count} events of {type} are published")
        return self.published(type)

    def outcomes(self, subscription: str) -> list[tuple[Delivery, Outcome]]:
        """What became of the events of a subscription, in the order in which they were published."""
        with self.gateway.changed:
            slots = self.gateway.queues[subscription].slots
            return [(Delivery(**fields_of(s.event), attempt=s.attempts, subscription=subscription),
                     Outcome(s.done or s.last, seconds(s.delay), s.reason)) for s in slots]

    def dead_letters(self, subscription: str) -> list[tuple[Delivery, Outcome]]:
        """Those that were rejected, or whose attempts ran out."""
        return [o for o in self.outcomes(subscription) if o[1].kind == "reject"]

    def idle(self, subscription: str, timeout: float = WAIT) -> None:
        """Waits until every event of a subscription is done. Never in the loop that the handlers run in."""
        self._wait(lambda: not self.gateway.queues[subscription].open_slots(),
                   f"every event of {subscription} is done", timeout)

    def _plan(self, what: str, times: int, when: Callable[[Event], bool], problem: dict[str, Any]) -> None:
        with self.gateway.changed:
            self.gateway.plans.append(Plan(what, times, problem, lambda e: when(Event(**fields_of(e)))))

    def _wait(self, until: Callable[[], bool], what: str, timeout: float = WAIT) -> None:
        with self.gateway.changed:
            if not self.gateway.changed.wait_for(until, timeout):
                raise AssertionError(f"it does not come that {what}")

    def close(self) -> None:
        """Closes the clients, and fails when a failure was planned that never happened."""
        for bus in self._buses:
            if bus._running is not None and bus._running.mine:
                bus._running.close()
            bus._running, bus._config, bus._closed = None, bus._before, False  # type: ignore[attr-defined]
        left = [p.what for p in self.gateway.plans if p.left > 0]
        if left:
            raise AssertionError(f"a planned failure did not happen: {', '.join(left)}")
