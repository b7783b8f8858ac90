# SPDX-License-Identifier: Apache-2.0
"""Services ask each other."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import autobus
from autobus import Delivery, Event, Fault, Reply, Retry, Skip
from autobus.testing import Fake
from conftest import WAIT, eventually

QUOTE = "pricing.quote.price.v1"


def server(fake: Fake, name: str, handler: Any, asynchronous: bool = False) -> Any:
    bus: Any = fake.bus() if asynchronous else fake.sync_bus()

    async def handle_async(d: Delivery) -> Any:
        return handler(d)

    bus.serve(QUOTE, subscription=name)(handle_async if asynchronous else handler)
    return bus


@pytest.mark.parametrize("asynchronous", [False, True], ids=["plain", "async"])
def test_a_request_is_answered(fake: Fake, asynchronous: bool) -> None:
    with fake.running(server(fake, "pricing", lambda d: {"price": d.data["n"] * 2}, asynchronous)):
        reply = fake.sync_bus().request(QUOTE, {"n": 2**60}, extensions={"correlationid": "c-1"})
        assert reply.data == {"price": 2**61} and reply.responder == "pricing" and reply.type == QUOTE + ".reply"
        assert reply.extensions["correlationid"] == "c-1"
        assert reply.causation_id == fake.published(QUOTE)[0].id and not reply.error


def test_many_callers_get_their_own_answers(fake: Fake) -> None:
    with fake.running(server(fake, "pricing", lambda d: d.data)):
        async def main() -> list[Any]:
            bus = fake.bus()
            return [r.data for r in await asyncio.gather(*(bus.request(QUOTE, n) for n in range(300)))]
        assert asyncio.run(main()) == list(range(300))
        bus = fake.sync_bus()
        with ThreadPoolExecutor(8) as pool:
            assert [r.data for r in pool.map(lambda n: bus.request(QUOTE, n), range(100))] == list(range(100))


def test_nobody_serves_it(fake: Fake) -> None:
    with pytest.raises(autobus.Refused, match="no_responder"):
        fake.sync_bus().request(QUOTE, 1)


def test_several_answer_one_is_silent_one_speaks_twice(fake: Fake) -> None:
    def twice(d: Delivery) -> Any:
        again = Event(QUOTE + ".reply", "b", extensions={"to": d.reply_to, "causationid": d.id, "responder": "b"})
        fake.publish(again)
        return "b"

    def silent(d: Delivery) -> Any:
        raise Skip("no offer")

    with fake.running(server(fake, "a", lambda d: "a")), fake.running(server(fake, "b", twice)), \
            fake.running(server(fake, "c", silent)):
        replies = fake.sync_bus().requests(QUOTE, 1, timeout=1.0)
        assert sorted((r.data, r.responder) for r in replies) == [("a", "a"), ("b", "b")]
        assert (replies.got, replies.missing, replies.duplicates) == (2, ["c"], 1)

        async def main() -> list[str]:
            first = await fake.bus().requests(QUOTE, 1, replies=1, timeout=WAIT)
            return [r.responder async for r in first]
        assert asyncio.run(main()) in (["a"], ["b"])


def test_all_of_all_come_before_the_time_is_over(fake: Fake) -> None:
    with fake.running(server(fake, "a", lambda d: 1)), fake.running(server(fake, "b", lambda d: 2)):
        replies = fake.sync_bus().requests(QUOTE, 1, timeout=600)
        assert sorted(r.data for r in replies) == [1, 2] and replies.missing == []


def test_no_answer_in_time(fake: Fake) -> None:
    go_on = threading.Event()
    with fake.running(server(fake, "pricing", lambda d: go_on.wait(WAIT))):
        bus = fake.sync_bus()
        with pytest.raises(autobus.Error) as e:
            bus.request(QUOTE, 1, timeout=0.2)
        assert e.value.reason == "reply_timeout" and e.value.retriable
        go_on.set()
        fake.idle("pricing")
        inbox = bus._engine.core.inbox
        eventually("the late reply is counted", lambda: inbox.late == 1 and not inbox.pending)


def test_an_event_can_be_asked_with_again(fake: Fake) -> None:
    event, go_on = Event(QUOTE, 1), threading.Event()
    bus = fake.sync_bus()
    with fake.running(server(fake, "pricing", lambda d: go_on.wait(WAIT) and "right")):
        with pytest.raises(autobus.Error, match="reply_timeout"):
            bus.request(event, timeout=0.2)
        go_on.set()
    assert event.extensions == {}, "it is the caller's, and its deadline was that of the first call"


def test_none_of_all_replied_because_nothing_was_asked(fake: Fake) -> None:
    async def main() -> None:
        async for _ in await fake.bus().requests(QUOTE, 1, timeout=0.3):
            pass

    def plain() -> None:
        list(fake.sync_bus().requests(QUOTE, 1, timeout=0.3))

    with fake.running(server(fake, "pricing", lambda d: 1)):
        for ask in (plain, lambda: asyncio.run(main())):
            fake.lose_requests(when=lambda e: e.type == QUOTE)
            fake.refuse("capacity", when=lambda e: e.type == QUOTE)
            with pytest.raises(autobus.Unknown):
                ask()


@pytest.mark.parametrize("broken", [False, True], ids=["one connection", "another connection"])
def test_who_asks_again_gets_the_answer_to_the_first(fake: Fake, broken: bool) -> None:
    event, go_on, asked = Event(QUOTE, 1), threading.Event(), []

    def handle(d: Delivery) -> Any:
        go_on.wait(WAIT)
        asked.append(d.data)
        return f"right {d.data}"

    with fake.running(server(fake, "pricing", handle)):
        bus = fake.sync_bus()
        other = bus.requests(QUOTE, 2, timeout=2 * WAIT)
        with pytest.raises(autobus.Error, match="reply_timeout"):
            bus.request(event, timeout=0.2)
        go_on.set()
        fake.idle("pricing")
        inbox = bus._engine.core.inbox
        eventually("the reply came in vain", lambda: inbox.late == 1)
        if broken:
            fake.lose_answers(when=lambda e: e.id == event.id)
        assert bus.request(event, timeout=WAIT).data == "right 1" and asked.count(1) == 1
        assert [r.data for r in other] == ["right 2"] and other.duplicates == 0
        eventually("nothing is looked for", lambda: not inbox._looking and len(fake.gateway._inboxes) == 1)


def test_a_request_whose_time_is_over_is_not_begun(fake: Fake) -> None:
    called: list[Any] = []
    bus = server(fake, "pricing", called.append)
    fake.publish("other.thing.happened.v1")
    event = Event(QUOTE, 1, extensions={"expirytime": "2001-01-01T00:00:00Z"})
    with fake.running(bus):
        with pytest.raises(autobus.Refused, match="deadline_passed"):
            fake.publish(event)
        with fake.gateway.changed:  # one whose time went by while it waited
            fake.gateway._hand_on({**event.to_wire(), "source": "/x", "replyto": "r"})
            fake.gateway._deliver()
        fake.idle("pricing")
    assert called == [] and [o.kind for _, o in fake.outcomes("pricing")] == ["skip"]


@pytest.mark.parametrize("asynchronous", [False, True], ids=["plain", "async"])
def test_errors_are_answers_too(fake: Fake, asynchronous: bool) -> None:
    def handle(d: Delivery) -> Any:
        if d.data == "declared":
            raise Fault("rejected", {"code": 8})
        if d.data == "again" and d.attempt == 1:
            raise Retry("busy", delay=0)
        if d.data == "broken":
            raise ZeroDivisionError("secret")
        if d.data == "nonsense":
            return {1, 2}
        return "ok"

    with fake.running(server(fake, "pricing", handle, asynchronous)):
        bus = fake.sync_bus()
        with pytest.raises(autobus.ReplyError) as e:
            bus.request(QUOTE, "declared")
        assert e.value.name == "rejected" and e.value.reply.data == {"code": 8}
        with pytest.raises(autobus.ReplyError) as e:
            bus.request(QUOTE, "broken")
        assert e.value.name == "problem" and "secret" not in str(e.value) and "pricing" in str(e.value)
        with pytest.raises(autobus.ReplyError, match="the answer was refused"):
            bus.request(QUOTE, "nonsense")
        assert bus.request(QUOTE, "again").data == "ok"
        fake.idle("pricing")
    assert sorted(o.kind for _, o in fake.outcomes("pricing")) == ["ack", "ack", "reject", "reject"]


def test_a_reply_may_have_content_of_its_own(fake: Fake) -> None:
    with fake.running(server(fake, "pricing", lambda d: Reply("", b"\x89PNG", content_type="image/png"))):
        reply = fake.sync_bus().request(QUOTE, b"\x00", content_type="application/octet-stream")
        assert reply.data == b"\x89PNG" and reply.content_type == "image/png"


def test_a_server_that_dies_is_replaced(fake: Fake) -> None:
    seen: list[int] = []

    def handle(d: Delivery) -> Any:
        seen.append(d.attempt)
        if len(seen) == 1:
            fake.disconnect()
        return len(seen)

    with fake.running(server(fake, "pricing", handle)):
        caller = fake.sync_bus()
        assert caller.request(QUOTE, 1, timeout=WAIT).data in (1, 2)
        fake.idle("pricing")
    # The reply of the first call may have been sent or not; the request is done in the end, once.
    assert [o.kind for _, o in fake.outcomes("pricing")] == ["ack"]


def test_replies_find_the_caller_after_a_break(fake: Fake) -> None:
    at_work, go_on = threading.Event(), threading.Event()

    def handle(d: Delivery) -> Any:
        at_work.set()
        go_on.wait(WAIT)
        return "late but right"

    with fake.running(server(fake, "pricing", handle)):
        caller, answers = fake.sync_bus(), []
        t = threading.Thread(target=lambda: answers.append(caller.request(QUOTE, 1, timeout=WAIT).data))
        t.start()
        assert at_work.wait(WAIT)
        lines = len(fake.gateway.peers)
        fake.disconnect()
        eventually("all are back", lambda: len(fake.gateway.peers) == lines and len(fake.gateway._inboxes) == 1)
        go_on.set()
        t.join(WAIT)
    assert answers == ["late but right"]


@pytest.mark.parametrize(("options", "reason"), [({"timeout": 0}, "deadline_passed"),
                                                 ({"replies": 0}, "request_invalid"),
                                                 ({"replies": -3}, "request_invalid")], ids=repr)
def test_what_makes_no_sense_is_refused(fake: Fake, options: Any, reason: str) -> None:
    with pytest.raises(autobus.Error, match=reason):
        fake.sync_bus().requests(QUOTE, 1, **options)


def test_calls_that_are_given_up_leave_nothing_behind(fake: Fake) -> None:
    go_on = threading.Event()
    with fake.running(server(fake, "pricing", lambda d: go_on.wait(WAIT))):
        bus = fake.bus()

        async def main() -> None:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(bus.request(QUOTE, 1), 0.2)
            replies = await bus.requests(QUOTE, 2)
            await replies.close()
            assert [r async for r in replies] == []
        asyncio.run(main())

        async def first() -> Any:
            async for reply in await bus.requests(QUOTE, 3, timeout=1.0):
                return reply.data  # what is left of it ends with its time
        with fake.running(server(fake, "second", lambda d: "second")):
            assert asyncio.run(first()) == "second"
        eventually("nobody waits", lambda: not bus._engine.core.inbox.pending)
        go_on.set()


def test_a_subscription_of_another_policy_is_served_as_it_is(fake: Fake) -> None:
    declared = fake.sync_bus()
    declared.serve(QUOTE, subscription="pricing", max_attempts=3)(lambda d: 1)
    with fake.running(declared):
        pass
    with pytest.raises(autobus.Error, match="subscription_exists"), fake.running(server(fake, "pricing", lambda d: 2)):
        pass
    bus = fake.sync_bus()
    bus.serve(QUOTE, subscription="pricing", create=False)(lambda d: 3)
    with fake.running(bus):
        assert fake.sync_bus().request(QUOTE, {}, timeout=WAIT).data == 3
    with pytest.raises(autobus.Error, match="max_attempts"):
        bus.serve(QUOTE, subscription="other", create=False, max_attempts=3)(lambda d: 3)
    nobody = fake.sync_bus()
    nobody.serve(QUOTE, subscription="absent", create=False)(lambda d: 4)
    with pytest.raises(autobus.Error, match="subscription_unknown"), fake.running(nobody):
        pass


def test_hooks_around_a_request(fake: Fake) -> None:
    seen: list[Any] = []

    class Traced(autobus.Hooks):
        def before_publish(self, event: Event) -> None:
            event.extensions["traceparent"] = "00-1-1-00"
            if event.data == "no":
                raise autobus.Refused({"reason": "forbidden"})

        def after_publish(self, event: Event, receipt: autobus.Receipt) -> None:
            seen.append((event.data, receipt.status, receipt.error and receipt.error.reason, receipt.responders))

    plain, twin = fake.sync_bus(hooks=[Traced()]), fake.bus(hooks=[Traced()])

    async def ask(data: Any) -> None:
        await twin.request(QUOTE, data, timeout=WAIT)

    for request in (lambda data: plain.request(QUOTE, data, timeout=WAIT), lambda data: asyncio.run(ask(data))):
        for data in ("nobody", "no"):
            with pytest.raises(autobus.Refused):
                request(data)
        assert seen == [("nobody", "refused", "no_responder", ()), ("no", "refused", "forbidden", ())]
        seen.clear()
    with fake.running(server(fake, "pricing", lambda d: d.extensions["traceparent"])):
        assert plain.request(QUOTE, 1, timeout=WAIT).data == "00-1-1-00"
        assert seen == [(1, "written", None, ("pricing",))]
