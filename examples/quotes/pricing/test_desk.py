# SPDX-License-Identifier: Apache-2.0
"""pricing.desk without a bus, a network or a wait: autobus_fake is the bus in memory, and holds all data against the
specs."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import Any

import pytest

import autobus
from autobus.testing import Fake

from . import desk

PLACE = "pricing.booking.place.v1"


@pytest.fixture
def bus(autobus_fake: Fake, monkeypatch: pytest.MonkeyPatch) -> Any:
    """pricing, at work on a table in memory. What the specs declare is made by the real bus; here it is made for the
    test."""
    table = "file:bookings?mode=memory&cache=shared"
    monkeypatch.setenv("BOOKINGS", table)
    declared = autobus_fake.sync_bus()
    declared.subscribe("pricing-desk", types=[PLACE, "pricing.forecast.make.v1"], max_attempts=2)(print)
    with autobus_fake.running(declared):
        pass
    with contextlib.closing(sqlite3.connect(table, uri=True)), autobus_fake.running(desk.bus):
        yield autobus_fake.sync_bus()


def handled() -> list[int]:
    """How often each booking was made."""
    with desk.bookings() as db:
        return [n for (n,) in db.execute("SELECT handled FROM bookings")]


def test_a_booking(bus: autobus.sync.Bus) -> None:
    reply = bus.request(PLACE, {"sku": "B", "quantity": 2}, id="b-1")
    assert reply.data == {"booking": "b-1", "amount": 2500} and reply.extensions["servedby"] == "pricing"
    assert handled() == [1]


def test_what_the_spec_does_not_allow_is_not_asked(bus: autobus.sync.Bus) -> None:
    with pytest.raises(autobus.Refused, match="/quantity: maximum") as refused:
        bus.request(PLACE, {"sku": "A", "quantity": 1001})
    assert refused.value.reason == "data_invalid" and handled() == []


def test_a_no_that_the_spec_declares(bus: autobus.sync.Bus) -> None:
    with pytest.raises(autobus.ReplyError) as no:
        bus.request(PLACE, {"sku": "Z", "quantity": 1})
    assert no.value.name == "unknown" and no.value.reply.data == {"code": 404, "message": "there is no Z"}


def test_a_command_that_comes_twice_is_one_booking(bus: autobus.sync.Bus, autobus_fake: Fake,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    times: list[str] = []

    def price_of(command: autobus.Delivery) -> int:
        times.append(command.id)
        if len(times) == 1:
            autobus_fake.disconnect()  # what the worker says of it does not count any more
        return 700
    monkeypatch.setattr(desk, "price_of", price_of)
    bus.publish(PLACE, {"sku": "A", "quantity": 1})
    autobus_fake.idle("pricing-desk")
    assert len(times) == 2 and len(set(times)) == 1 and handled() == [2]


def test_hooks_have_an_order_and_a_failing_one_loses_nothing(bus: autobus.sync.Bus, autobus_fake: Fake,
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    for name in ("before", "error", "retry", "after"):
        def noted(self: Any, *args: Any, name: str = name, hook: Any = getattr(desk.Watch, name)) -> None:
            calls.append(name)
            hook(self, *args)
            if name == "after":
                raise RuntimeError("a hook fails")
        monkeypatch.setattr(desk.Watch, name, noted)
    ways = iter([OSError("the disk is full"), 700])

    def price_of(command: autobus.Delivery) -> int:
        calls.append("handler")
        way = next(ways)
        if isinstance(way, OSError):
            raise autobus.Retry(str(way))
        return way
    monkeypatch.setattr(desk, "price_of", price_of)
    bus.publish(PLACE, {"sku": "A", "quantity": 1})
    autobus_fake.idle("pricing-desk")
    assert calls == ["before", "handler", "error", "retry", "after", "before", "handler", "after"]
    assert handled() == [1] and not autobus_fake.dead_letters("pricing-desk")


def test_a_hook_may_refuse(bus: autobus.sync.Bus, autobus_fake: Fake) -> None:
    bus.publish(PLACE, {"sku": "A", "quantity": 1}, extensions={"tenant": "blocked"})
    autobus_fake.idle("pricing-desk")
    assert handled() == [] and autobus_fake.dead_letters("pricing-desk")[0][1].reason == "this tenant is not served"
