# SPDX-License-Identifier: Apache-2.0
"""A request that comes again is answered as before."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest

import autobus
from autobus import Delivery, Fault, Once, Reply
from autobus.testing import Fake
from conftest import WAIT, eventually

BOOK = "booking.seat.book.v1"


def asked(data: Any, id: str = "r-1", source: str = "/desk") -> Delivery:
    return Delivery(BOOK, data, id, source)


def results(handler: Any, *requests: Any) -> list[Any]:
    """What a handler says to each, async or not."""
    said = []
    for r in requests:
        try:
            made = handler(r)
            said.append(asyncio.run(made) if asyncio.iscoroutine(made) else made)
        except Exception as e:
            said.append(e)
    return said


@pytest.fixture(params=["plain", "async"])
def kind(request: Any) -> Any:
    """Makes a handler of either kind from a function."""
    def make(f: Any) -> Any:
        if request.param == "plain":
            return f

        async def handler(r: Delivery) -> Any:
            return f(r)
        return handler
    return make


@pytest.mark.parametrize("answer", [{"n": 2**70}, None, [], "", 0], ids=repr)
def test_data_is_answered_as_before(kind: Any, answer: Any) -> None:
    calls: list[Any] = []
    book = Once()(kind(lambda r: calls.append(r.id) or answer))
    assert results(book, asked(1), asked(1), asked(1, "r-2"), asked(1, source="/web")) == [answer] * 4
    assert calls == ["r-1", "r-2", "r-1"]


def test_other_answers_come_again_too(kind: Any) -> None:
    def handle(r: Delivery) -> Any:
        if r.data == "fault":
            raise Fault("sold out", {"left": 0})
        if r.data == "bytes":
            return b"\x00\xff"
        return Reply("", b"\x89PNG", content_type="image/png")

    for data in ("fault", "bytes", "picture"):
        book = Once()(kind(handle))
        first, again = results(book, asked(data), asked(data))
        if data == "fault":
            assert (first.name, first.data) == (again.name, again.data) == ("sold out", {"left": 0})
        else:
            content = "image/png" if data == "picture" else "application/octet-stream"
            assert (again.data, again.content_type) == (first.data if data == "picture" else first, content)


def test_failures_are_not_kept(kind: Any) -> None:
    calls: list[int] = []

    def handle(r: Delivery) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise ZeroDivisionError
        if len(calls) == 2:
            return {1, 2}  # no reply can be made of it
        return "done"

    said = results(Once()(kind(handle)), *[asked(1)] * 4)
    assert isinstance(said[0], ZeroDivisionError) and said[1:] == [{1, 2}, "done", "done"] and len(calls) == 3


def test_a_store_of_ones_own(kind: Any) -> None:
    table: dict[str, bytes] = {}
    broken = False

    def load(key: str) -> bytes | None:
        if broken:
            raise OSError("no route")
        return table.get(key)

    first, second = (Once(load, table.__setitem__)(kind(lambda r, n=n: n)) for n in (1, 2))
    assert results(first, asked(0)) + results(second, asked(0)) == [1, 1]  # another process, the same table
    # The form is that of the Go package.
    assert {k: json.loads(v) for k, v in table.items()} == {
        "/desk r-1": {"content_type": "application/json", "data": "MQ=="}}
    table["/desk r-2"] = b'{"error":"rejected","data":"eyJjb2RlIjozfQ=="}'
    said = results(first, asked(0, "r-2"))[0]
    assert isinstance(said, Fault) and (said.name, said.data) == ("rejected", {"code": 3})
    broken = True
    retry = results(first, asked(0))[0]
    assert isinstance(retry, autobus.Retry) and retry.delay == 0 and "no route" in str(retry)


def test_a_store_may_be_async() -> None:
    table: dict[str, bytes] = {}

    async def load(key: str) -> bytes | None:
        return table.get(key)

    async def save(key: str, answer: bytes) -> None:
        table[key] = answer

    @Once(load, save)
    async def book(r: Delivery) -> int:
        return len(table)
    assert results(book, asked(1), asked(1), asked(1, "r-2")) == [0, 0, 1] and book.__name__ == "book"
    with pytest.raises(autobus.Error, match="async"):
        Once(load, save)(lambda r: 1)(asked(1))
    with pytest.raises(autobus.Error, match="request_invalid"):
        Once(load)
    with pytest.raises(autobus.Error, match="batches"):
        Once()(lambda r: 1)([asked(1)])


def test_an_answer_is_kept_although_its_deadline_comes() -> None:
    kept: dict[str, bytes] = {}
    calls: list[Any] = []

    async def main() -> None:
        saving, go_on = asyncio.Event(), asyncio.Event()

        async def save(key: str, answer: bytes) -> None:
            saving.set()
            await go_on.wait()
            kept[key] = answer

        async def load(key: str) -> bytes | None:
            return kept.get(key)

        @Once(load=load, save=save)
        async def book(r: Delivery) -> Any:
            calls.append(r.id)
            return "seat"

        first = asyncio.create_task(book(asked(1)))
        await saving.wait()
        first.cancel()
        second = asyncio.create_task(book(asked(1)))
        await asyncio.sleep(0)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert await second == "seat"
    asyncio.run(main())
    assert calls == ["r-1"] and len(kept) == 1


def test_whoever_comes_meanwhile_waits() -> None:
    at_work, go_on = threading.Event(), threading.Event()
    calls: list[int] = []

    def handle(r: Delivery) -> int:
        calls.append(1)
        at_work.set()
        go_on.wait(WAIT)
        return len(calls)

    once = Once()
    said: list[Any] = []
    threads = [threading.Thread(target=lambda: said.append(once(handle)(asked(1)))) for _ in range(3)]
    threads[0].start()
    assert at_work.wait(WAIT)
    for t in threads[1:]:
        t.start()
    go_on.set()
    for t in threads:
        t.join(WAIT)
    assert said == [1, 1, 1] and len(calls) == 1


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autobus.once.KEPT", 2)
    calls: list[str] = []
    book = Once()(lambda r: calls.append(r.id))
    results(book, asked(1, "a"), asked(1, "b"), asked(1, "c"), asked(1, "c"), asked(1, "a"))
    assert calls == ["a", "b", "c", "a"]


def test_a_server_that_dies_does_the_work_once(fake: Fake) -> None:
    calls: list[int] = []
    once = Once()

    def handle(d: Delivery) -> Any:
        calls.append(d.attempt)
        fake.disconnect()  # before the answer is out
        return {"place": len(calls)}

    bus = fake.sync_bus()
    bus.serve(BOOK, subscription="booking")(once(handle))
    with fake.running(bus):
        assert fake.sync_bus().request(BOOK, 1, timeout=WAIT).data == {"place": 1}
        fake.idle("booking")
        eventually("it is done", lambda: [o.kind for _, o in fake.outcomes("booking")] == ["ack"])
    assert len(calls) == 1
