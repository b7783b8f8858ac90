# SPDX-License-Identifier: Apache-2.0
"""What becomes of what is published."""

from __future__ import annotations

import asyncio
from datetime import datetime, timezone
from typing import Any

import pytest

import autobus
from autobus import Event, _json
from autobus._courier import MAX_BYTES
from autobus.testing import Fake

PLACED = "orders.order.placed.v1"


def test_an_event_is_written_as_it_is(fake: Fake) -> None:
    bus = fake.sync_bus()
    at = datetime(2026, 1, 31, 15, 4, 5, 123456, tzinfo=timezone.utc)
    r = bus.publish(PLACED, {"order_id": "ж-1", "total": 10.5}, key="o-1", id="e-1", source="/shop", time=at,
                    subject="s", extensions={"correlationid": "c-1"})
    assert r.ok and r.id == "e-1" and r.type == PLACED and not r.duplicate
    assert fake.published() == [Event(PLACED, {"order_id": "ж-1", "total": 10.5}, "e-1", "/shop", at, "s", "o-1",
                                      "application/json", {"correlationid": "c-1"})]


def test_the_async_twin_does_the_same(fake: Fake) -> None:
    async def main() -> None:
        bus = fake.bus()
        r = await bus.publish(PLACED, {"n": 1}, id="e-1")
        again = await bus.publish(PLACED, {"n": 1}, id="e-1")
        assert r.ok and again.ok and again.duplicate
        with pytest.raises(autobus.Refused) as e:
            await bus.publish(PLACED, {"n": 2}, id="e-1")
        assert e.value.reason == "id_conflict" and not e.value.retriable
        many = await asyncio.gather(*(bus.publish(PLACED, i) for i in range(200)))
        assert all(m.ok for m in many)
    asyncio.run(main())
    assert len(fake.published(PLACED)) == 201


@pytest.mark.parametrize("value", [2**53 + 1, -(2**64), 10**4200], ids=["2^53+1", "-2^64", "10^4200"])
def test_integers_stay_exact(fake: Fake, value: int) -> None:
    fake.sync_bus().publish(PLACED, {"n": value})
    assert fake.published()[0].data == {"n": value}


def test_integers_that_python_would_not_read_are_read() -> None:
    assert _json.loads("[-1" + "0" * 5000 + "]") == [-(10**5000)]


def test_bytes_are_content_of_their_own(fake: Fake) -> None:
    fake.sync_bus().publish(PLACED, b"\x00\xff", content_type="image/png")
    assert fake.published()[0].data == b"\x00\xff" and fake.published()[0].content_type == "image/png"


@pytest.mark.parametrize(("data", "extensions", "reason"), [
    (float("nan"), {}, "data_unreadable"), ({1, 2}, {}, "data_unreadable"),
    ("x" * (MAX_BYTES + 1), {}, "event_too_large"), ({}, {"id": "x"}, "event_invalid")],
    ids=["NaN", "a set", "too large", "an attribute as extension"])
def test_what_has_no_form_is_refused_here(fake: Fake, data: Any, extensions: dict[str, str], reason: str) -> None:
    bus = fake.sync_bus()
    good, bad = Event(PLACED, 1), Event(PLACED, data, extensions=extensions)
    receipts = bus.publish_many([bad, good])
    assert [r.status for r in receipts] == ["refused", "written"]
    assert receipts[0].error is not None and receipts[0].error.reason == reason
    with pytest.raises(autobus.Refused, match=reason):
        bus.publish(bad)


def test_many_go_in_several_frames_and_in_order(fake: Fake) -> None:
    receipts = fake.sync_bus().publish_many(Event(PLACED, i) for i in range(2500))
    assert all(r.ok for r in receipts) and [e.data for e in fake.published()] == list(range(2500))
    assert [len(f["events"]) for f in fake.gateway.frames] == [1000, 1000, 500]


def test_nothing_overtakes_what_is_to_be_sent_again(fake: Fake) -> None:
    fake.refuse("capacity", when=lambda e: e.data == 999, retriable=True)
    receipts = fake.sync_bus().publish_many(Event(PLACED, i) for i in range(1500))
    assert [r.status for r in receipts] == ["written"] * 999 + ["refused"] * 501
    assert receipts[1000].error is not None and receipts[1000].error.reason == "predecessor_failed"


def test_a_lost_request_is_sent_again(fake: Fake) -> None:
    bus = fake.sync_bus()
    fake.lose_requests(2)
    assert bus.publish(PLACED, 1).ok
    assert len(fake.published()) == 1


def test_a_lost_answer_is_asked_for_again_under_the_same_id(fake: Fake) -> None:
    bus = fake.sync_bus()
    fake.lose_answers()
    r = bus.publish(PLACED, 1)
    assert r.ok and r.duplicate and len(fake.published()) == 1


def test_what_the_bus_does_not_know_is_sent_again(fake: Fake) -> None:
    fake._plan("unknown", 1, lambda e: True, {})
    assert fake.sync_bus().publish(PLACED, 1).duplicate


def test_a_refusal_after_a_doubt_is_unknown(fake: Fake) -> None:
    bus = fake.sync_bus()
    fake.lose_answers()
    fake.refuse("forbidden", when=lambda e: len(fake.published()) > 0)
    with pytest.raises(autobus.Unknown) as e:
        bus.publish(PLACED, 1)
    assert "forbidden" in str(e.value) and e.value.retriable


def test_a_doubt_is_of_one_event_alone(fake: Fake) -> None:
    fake._plan("unknown", 1, lambda e: e.data == 0, {})
    fake.refuse("data_invalid", when=lambda e: e.data == 1)
    receipts = fake.sync_bus().publish_many([Event(PLACED, 0), Event(PLACED, 1), Event(PLACED, 2)])
    assert [r.status for r in receipts] == ["written", "refused", "written"] and receipts[0].duplicate


def test_without_a_bus_nothing_was_sent(fake: Fake) -> None:
    bus = fake.sync_bus()
    with fake.away():
        with pytest.raises(autobus.Refused) as e:
            bus.publish(PLACED, 1, timeout=0.05)
        assert e.value.reason == "server_unreachable" and e.value.retriable and not bus.ready() and bus.live()
    assert bus.publish(PLACED, 2).ok and [e.data for e in fake.published()] == [2]


def test_a_bus_that_goes_down_hands_over(fake: Fake) -> None:
    bus = fake.sync_bus()
    fake.refuse("shutting_down", retriable=True)
    assert bus.publish(PLACED, 1).ok


def test_hooks_around_publishing(fake: Fake) -> None:
    seen: list[Any] = []

    class First(autobus.Hooks):
        def before_publish(self, event: Event) -> None:
            seen.append("first before")
            event.extensions["traceparent"] = "00-1-1-00"
            if event.data == "no":
                raise autobus.Refused({"reason": "forbidden"})

        def after_publish(self, event: Event, receipt: autobus.Receipt) -> None:
            seen.append(("first after", receipt.status))

    class Second(autobus.Hooks):
        def before_publish(self, event: Event) -> None:
            seen.append("second before")
            raise RuntimeError("a fault of the hook")

        def after_publish(self, event: Event, receipt: autobus.Receipt) -> None:
            seen.append(("second after", receipt.status))

    bus = fake.sync_bus(hooks=[First(), Second()])
    bus.publish(PLACED, 1)
    assert seen == ["first before", "second before", ("second after", "written"), ("first after", "written")]
    assert fake.published()[0].extensions == {"traceparent": "00-1-1-00"}
    with pytest.raises(autobus.Refused, match="forbidden"):
        bus.publish(PLACED, "no")
    assert len(fake.published()) == 1
