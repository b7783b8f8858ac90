# SPDX-License-Identifier: Apache-2.0
"""What becomes of events that are handled."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

import autobus
from autobus import Batch, Delivery, Event, Hooks, Outcome, Reject, Retry, Skip
from autobus.testing import Fake
from conftest import WAIT, eventually

PLACED = "orders.order.placed.v1"


@pytest.fixture(params=["plain", "async"])
def twin(request: Any) -> bool:
    return bool(request.param == "async")


def subscribe(fake: Fake, asynchronous: bool, handler: Any, name: str = "billing", **options: Any) -> Any:
    """A Bus of one of the twins, whose handler calls a plain function."""
    bus: Any = fake.bus() if asynchronous else fake.sync_bus()

    async def handle_async(d: Any) -> Any:
        return handler(d)

    bus.subscribe(name, types=PLACED, start="earliest", **options)(handle_async if asynchronous else handler)
    return bus


def kinds(fake: Fake, name: str = "billing") -> list[str]:
    return [o.kind for _, o in fake.outcomes(name)]


def test_what_a_handler_says_is_told(fake: Fake, twin: bool) -> None:
    def handle(d: Delivery) -> None:
        if d.attempt == 1 and d.data == "error":
            raise ValueError("no paper")
        if d.attempt == 1 and d.data == "again":
            raise Retry("later", delay=90)
        if d.data == "skip":
            raise Skip("not for us")
        if d.data == "reject":
            raise Reject("nobody pays that")

    for data in ("ok", "error", "again", "skip", "reject"):
        fake.publish(PLACED, data)
    with fake.running(subscribe(fake, twin, handle)):
        fake.idle("billing")
    assert kinds(fake) == ["ack", "ack", "ack", "skip", "reject"]
    told = {(r["outcome"], r.get("delay"), r.get("reason")) for f in fake.gateway.frames if f["op"] == "ack"
            for r in f["results"]}
    assert told == {("ack", None, None), ("reject", None, "nobody pays that"), ("retry", "90000ms", "later"),
                    ("retry", None, "ValueError: no paper"), ("skip", None, "not for us")}
    assert fake.dead_letters("billing")[0][1] == Outcome("reject", None, "nobody pays that")


def test_events_of_a_key_are_handled_one_by_one_and_others_side_by_side(fake: Fake, twin: bool) -> None:
    seen: list[tuple[str, int]] = []
    both = threading.Barrier(2)

    def handle(d: Delivery) -> None:
        if d.data == 0 and not twin:
            both.wait(WAIT)  # the first of each key meet: they are handled at the same time
        seen.append((d.key, d.data))

    for n in range(5):
        for key in "ab":
            fake.publish(PLACED, n, key=key)
    with fake.running(subscribe(fake, twin, handle)):
        fake.idle("billing")
    for key in "ab":
        assert [n for k, n in seen if k == key] == list(range(5))


def test_no_more_handlers_run_than_may(fake: Fake) -> None:
    running, most, lock = 0, 0, threading.Lock()

    def handle(d: Delivery) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.01)
        with lock:
            running -= 1

    for n in range(12):
        fake.publish(PLACED, n)
    with fake.running(subscribe(fake, False, handle, concurrency=3)):
        fake.idle("billing")
    assert most == 3


def test_a_batch_has_an_outcome_for_each_event(fake: Fake, twin: bool) -> None:
    sizes: list[int] = []

    def handle(ds: list[Delivery]) -> Any:
        sizes.append(len(ds))
        again = ValueError("again")
        return [Reject("odd") if d.data % 2 else again if d.attempt == 1 and d.data == 4 else None for d in ds]

    for n in range(10):
        fake.publish(PLACED, n)
    with fake.running(subscribe(fake, twin, handle, batch=Batch(events=5, wait=0.05))):
        fake.idle("billing")
    assert kinds(fake) == ["ack", "reject"] * 5
    assert sizes[:2] == [5, 5] and sizes[2:] == [1]  # what was tried before comes alone


@pytest.mark.parametrize("wrong", [[None], "yes", [1, 2]], ids=["too few", "text", "no errors"])
def test_a_batch_handler_that_returns_nonsense_loses_nothing(fake: Fake, wrong: Any) -> None:
    fake.publish(PLACED, 1)
    fake.publish(PLACED, 2)

    def handle(ds: list[Delivery]) -> Any:
        return wrong if len(ds) == 2 else None

    with fake.running(subscribe(fake, False, handle, batch=Batch(events=2, wait=5))):
        fake.idle("billing")
    assert kinds(fake) == ["ack", "ack"] and fake.outcomes("billing")[0][0].attempt == 2


def test_the_lease_is_kept_while_the_handler_computes(twin: bool) -> None:
    fake = Fake(ack_wait=3.0)

    def extended() -> bool:
        return "extend" in [o for _, o in fake.gateway.queues["billing"].told]

    def handle(d: Delivery) -> None:
        end = time.monotonic() + WAIT
        while not extended() and time.monotonic() < end:
            sum(range(1000))  # never waits, so the loop of async handlers stands still

    fake.publish(PLACED, 1)
    with fake.running(subscribe(fake, twin, handle)):
        fake.idle("billing", 2 * WAIT)
    queue = fake.gateway.queues["billing"]
    fake.close()
    assert [o for _, o in queue.told] == ["extend", "ack"] and queue.slots[0].attempts == 1


def test_a_handler_that_works_too_long_loses_its_lease_in_the_end(fake: Fake) -> None:
    async def handle(d: Delivery) -> None:
        if d.attempt == 1:
            await asyncio.sleep(3600)

    bus = fake.bus()
    bus.subscribe("billing", types=PLACED, start="earliest", max_work=0.05)(handle)
    fake.publish(PLACED, 1)
    with fake.running(bus):
        fake.idle("billing")
    told = [r for f in fake.gateway.frames if f["op"] == "ack" for r in f["results"]]
    assert told[0]["outcome"] == "retry" and "longer than it may" in told[0]["reason"]


def test_what_is_revoked_is_not_told_and_handled_again(fake: Fake, twin: bool) -> None:
    at_work, go_on = threading.Event(), threading.Event()
    first: list[Delivery] = []
    errors: list[BaseException] = []

    class Watch(Hooks):
        def error(self, delivery: Delivery, exc: BaseException) -> None:
            errors.append(exc)

    def handle(d: Delivery) -> None:
        if d.attempt == 1:
            first.append(d)
            at_work.set()
            go_on.wait(WAIT)

    fake.publish(PLACED, 1)
    with fake.running(subscribe(fake, twin, handle, hooks=[Watch()])):
        assert at_work.wait(WAIT)
        fake.gateway.revoke("billing", fake.gateway.queues["billing"].slots[0].lease)
        slot = fake.gateway.queues["billing"].slots[0]
        eventually("the event is handed out again", lambda: slot.attempts == 2)
        eventually("the handler is told", lambda: first[0].lost)
        assert not slot.done  # not beside the first call
        go_on.set()
        fake.idle("billing")
    assert [type(e).__name__ for e in errors] == ["LeaseLost"]
    assert [o for _, o in fake.gateway.queues["billing"].told] == ["ack"]


def test_an_outcome_that_comes_too_late_is_told_to_the_hooks(fake: Fake, twin: bool) -> None:
    errors: list[BaseException] = []
    told = threading.Event()

    class Watch(Hooks):
        def error(self, delivery: Delivery, exc: BaseException) -> None:
            errors.append(exc)
            told.set()

    def handle(d: Delivery) -> None:
        if d.attempt == 1:
            with fake.gateway.changed:  # taken away, and the client does not hear of it
                fake.gateway.queues["billing"].take_back(fake.gateway.queues["billing"].slots[0].lease)

    fake.publish(PLACED, 1)
    with fake.running(subscribe(fake, twin, handle, hooks=[Watch()])):
        fake.idle("billing")
        assert told.wait(WAIT)
    assert [type(e).__name__ for e in errors] == ["LeaseLost"] and kinds(fake) == ["ack"]


def test_an_async_handler_is_cancelled_when_its_event_is_lost(fake: Fake) -> None:
    at_work = threading.Event()
    ends: list[str] = []

    async def handle(d: Delivery) -> None:
        if d.attempt == 1:
            at_work.set()
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                ends.append("cancelled")
                raise

    bus = fake.bus()
    bus.subscribe("billing", types=PLACED, start="earliest")(handle)
    fake.publish(PLACED, 1)
    with fake.running(bus):
        assert at_work.wait(WAIT)
        fake.gateway.revoke("billing", fake.gateway.queues["billing"].slots[0].lease)
        fake.idle("billing")
    assert ends == ["cancelled"] and kinds(fake) == ["ack"]


def test_a_cut_connection_loses_nothing(fake: Fake, twin: bool) -> None:
    done: list[int] = []

    def handle(d: Delivery) -> None:
        done.append(d.data)

    for n in range(50):
        fake.publish(PLACED, n)
    with fake.running(subscribe(fake, twin, handle, window=7)):
        for _ in range(5):
            fake.disconnect()
        fake.idle("billing")
    assert set(done) == set(range(50)) and kinds(fake) == ["ack"] * 50


def test_a_gateway_that_drains_is_left_when_all_is_settled(fake: Fake) -> None:
    at_work, go_on = threading.Event(), threading.Event()

    def handle(d: Delivery) -> None:
        at_work.set()
        go_on.wait(WAIT)

    fake.publish(PLACED, 1)
    with fake.running(subscribe(fake, False, handle)):
        assert at_work.wait(WAIT)
        queue = fake.gateway.queues["billing"]
        old = next(iter(queue.windows))
        fake.gateway.drain(old)
        eventually("the subscription is open elsewhere", lambda: any(p is not old for p in queue.windows))
        go_on.set()
        fake.idle("billing")
        assert queue.slots[0].attempts == 1  # told over the old connection


def test_hooks_have_a_fixed_order_and_lose_nothing(fake: Fake, twin: bool) -> None:
    seen: list[str] = []

    class Named(Hooks):
        def __init__(self, name: str, fails: bool = False):
            self.name, self.fails = name, fails

        def note(self, what: str) -> None:
            seen.append(f"{self.name} {what}")
            if self.fails:
                raise RuntimeError("a fault of the hook")

        def before(self, delivery: Delivery) -> None:
            delivery.state["seen"] = True
            self.note("before")

        def error(self, delivery: Delivery, exc: BaseException) -> None:
            self.note(f"error {exc}")

        def retry(self, delivery: Delivery, outcome: Outcome) -> None:
            self.note("retry")

        def after(self, delivery: Delivery, outcome: Outcome) -> None:
            self.note(f"after {outcome.kind}")

    def handle(d: Delivery) -> None:
        assert d.state["seen"]
        seen.append("handler")
        if d.attempt == 1:
            raise ValueError("x")

    fake.publish(PLACED, 1)
    with fake.running(subscribe(fake, twin, handle, hooks=[Named("1"), Named("2", fails=True)])):
        fake.idle("billing")
    assert seen == ["1 before", "2 before", "handler", "2 error x", "1 error x", "2 retry", "1 retry", "2 after retry",
                    "1 after retry", "1 before", "2 before", "handler", "2 after ack", "1 after ack"]


def test_a_hook_may_refuse_an_event(fake: Fake, twin: bool) -> None:
    class Refuse(Hooks):
        def before(self, delivery: Delivery) -> None:
            if delivery.data == "no":
                raise Skip("not today")

    called: list[Any] = []
    fake.publish(PLACED, "no")
    fake.publish(PLACED, "yes")
    with fake.running(subscribe(fake, twin, lambda d: called.append(d.data), hooks=[Refuse()])):
        fake.idle("billing")
    assert called == ["yes"] and kinds(fake) == ["skip", "ack"]


def test_a_stop_settles_what_runs_and_begins_nothing(fake: Fake, twin: bool) -> None:
    at_work, go_on = threading.Event(), threading.Event()

    def handle(d: Delivery) -> None:
        at_work.set()
        go_on.wait(WAIT)

    fake.publish(PLACED, 1, key="k")
    fake.publish(PLACED, 2, key="k")
    bus = subscribe(fake, twin, handle)
    with fake.running(bus):
        assert at_work.wait(WAIT)
        bus.stop()
        eventually("the window is closed", lambda: any(f["op"] == "window" for f in fake.gateway.frames))
        go_on.set()
    slots = fake.gateway.queues["billing"].slots
    assert [s.done for s in slots] == ["ack", ""] and [s.attempts for s in slots] == [1, 0]
    assert fake.gateway.frames[-1]["op"] == "unsubscribe"


def test_a_handler_that_does_not_end_is_given_up_after_the_grace(fake: Fake) -> None:
    at_work = threading.Event()

    async def handle(d: Delivery) -> None:
        at_work.set()
        await asyncio.sleep(3600)

    bus = fake.bus()
    bus.subscribe("billing", types=PLACED, start="earliest", grace=0.05)(handle)
    fake.publish(PLACED, 1)
    with fake.running(bus):
        assert at_work.wait(WAIT)
    slot = fake.gateway.queues["billing"].slots[0]
    assert not slot.done and slot.attempts == 0 and fake.gateway.queues["billing"].told == []


def test_several_handlers_share_a_subscription_by_type(fake: Fake) -> None:
    bus, seen = fake.sync_bus(), []
    bus.subscribe("all", types=PLACED, start="earliest")(lambda d: seen.append(("placed", d.data)))
    bus.subscribe("all", types="orders.*.paid.v1")(lambda d: seen.append(("paid", d.data)))
    fake.publish(PLACED, 1)
    fake.publish("orders.order.paid.v1", 2)
    with fake.running(bus):
        fake.idle("all")
    assert sorted(seen) == [("paid", 2), ("placed", 1)]
    assert fake.gateway.queues["all"].policy == {"types": [PLACED, "orders.*.paid.v1"], "start": "earliest"}


def test_a_subscription_that_cannot_go_on_ends_run(fake: Fake) -> None:
    bus = fake.sync_bus()
    bus.subscribe("nobody")(lambda d: None)
    with pytest.raises(autobus.Error, match="subscription_unknown"):
        bus.run(signals=False)
    policy = {"filter": "data.x > 1", "ack_wait": 60, "backoff": [1, "10s"], "max_attempts": 3, "queue": True,
              "on_exhausted": "drop", "params": {"country": "kz"}}
    bus = fake.sync_bus()
    bus.subscribe("made", types=[PLACED], **policy)(lambda d: None)
    with fake.running(bus):
        assert fake.gateway.queues["made"].policy == {
            "types": [PLACED], "filter": "data.x > 1", "ack_wait": "60000ms", "queue": True, "on_exhausted": "drop",
            "params": {"country": "kz"}, "retry": {"backoff": ["1000ms", "10s"], "max_attempts": 3}}


@pytest.mark.parametrize("wrong", [
    lambda b: b.subscribe("a", filter="x")(print), lambda b: b.subscribe("a", concurrency=-1)(print),
    lambda b: b.subscribe("a", batch=Batch(0))(print), lambda b: [b.subscribe("a")(print) for _ in range(2)]],
    ids=["a policy without types", "concurrency", "batch", "two for all types"])
def test_what_makes_no_sense_is_refused_where_it_is_written(wrong: Any) -> None:
    with pytest.raises(autobus.Error, match="request_invalid"):
        wrong(autobus.Bus())


def test_the_plain_twin_takes_no_async_handlers() -> None:
    async def handle(d: Delivery) -> None: ...
    with pytest.raises(autobus.Error, match="plain functions"):
        autobus.sync.Bus().subscribe("a")(handle)


def test_an_event_is_read_back_as_it_was_published(fake: Fake) -> None:
    event = Event(PLACED, {"n": 2**60}, key="k", subject="s", extensions={"correlationid": "c"})
    got: list[Delivery] = []
    fake.publish(event)
    with fake.running(subscribe(fake, False, got.append)):
        fake.idle("billing")
    d = got[0]
    assert (d.id, d.data, d.key, d.subject, d.extensions) == (event.id, event.data, "k", "s", event.extensions)
    assert d.attempt == 1 and d.subscription == "billing" and d.time is not None and d.deadline is not None
