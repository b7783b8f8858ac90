# SPDX-License-Identifier: Apache-2.0
"""The client at a real WebSocket: what it says and hears, and what it bears."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from typing import Any

import pytest

import autobus
from autobus import Event
from conftest import WAIT, Served, eventually

PLACED = "orders.order.placed.v1"


def client(served: Served, **options: Any) -> autobus.sync.Bus:
    return autobus.sync.Bus(served.url, min_backoff=0.0, max_backoff=0.02, **options)


@pytest.mark.parametrize("fuse", range(12))
def test_cut_anywhere_loses_nothing_and_doubles_nothing(served: Served, fuse: int) -> None:
    """The connection is cut after so many frames, whichever these are, and then after as many again and again."""
    bus = client(served)
    done: list[int] = []

    @bus.subscribe("billing", types=PLACED, start="earliest")
    def handle(d: autobus.Delivery) -> None:
        done.append(d.data)

    with bus:
        works = bus.start()
        for n in range(4):
            served.fuse = fuse
            assert bus.publish(PLACED, n).ok
        queues = served.gateway.queues
        eventually("all is handled", lambda: "billing" in queues and len(queues["billing"].slots) == 4 and
                   not queues["billing"].open_slots())
        served.fuse = None
        bus.stop()
        for w in works:
            w.result(WAIT)
    assert [e["data"] for e in served.gateway.log.events] == list(range(4)) and set(done) == set(range(4))


def test_the_first_frames_are_those_of_the_protocol(served: Served) -> None:
    with client(served, token="t-1", service="billing", version="1.2") as bus:
        bus.publish_many([Event(PLACED, {"n": 1}, id="e-1"), Event(PLACED, b"\x00", id="e-2")], ordered=True)
        served.gateway.frames[0].pop("seq")
        assert served.gateway.frames[0] == {"op": "publish", "stream": 0, "mode": "ordered", "events": [
            {"specversion": "1.0", "id": "e-1", "type": PLACED, "data": {"n": 1}},
            {"specversion": "1.0", "id": "e-2", "type": PLACED, "datacontenttype": "application/octet-stream",
             "data_base64": "AA=="}]}
        line = served.lines[0]
        assert line.token == "Bearer t-1" and line.socket.subprotocol == "autobus.v1"
        agent = line.socket.request.headers["User-Agent"] if line.socket.request else ""
        assert agent.startswith("billing/1.2 autobus-python/")


def test_what_is_unknown_is_passed_over_and_what_is_unreadable_ends_the_connection(served: Served) -> None:
    with client(served) as bus:
        bus.publish(PLACED, 1)
        served.lines[0].put({"op": "weather", "seq": 1})
        served.lines[0].put({"op": "events", "subscription": "of nobody", "deliveries": [{}]})
        assert bus.publish(PLACED, 2).ok and len(served.lines) == 1
        served.lines[0].loop.call_soon_threadsafe(served.lines[0].out.put_nowait, "{")
        eventually("another connection is made", lambda: len(served.lines) == 2)
        assert bus.publish(PLACED, 3).ok


def test_a_token_that_is_refused_is_told_at_once(served: Served) -> None:
    served.tokens = {"good"}
    with client(served, token="bad") as bus:
        with pytest.raises(autobus.Refused, match="unauthenticated"):
            bus.publish(PLACED, 1)
        assert not bus.ready() and "unauthenticated" in bus.unready()


def test_a_token_that_expires_is_fetched_anew(served: Served) -> None:
    served.tokens = {"second"}
    tokens = iter(["first", "second", "third"])
    with client(served, token=lambda: autobus.Token(next(tokens), time.time() + 31)) as bus:
        assert bus.publish(PLACED, 1).ok  # the first is refused, the second is not
        eventually("it is renewed before its time is over",
                   lambda: {"op": "auth", "token": "third"} in served.gateway.frames)


def test_a_token_that_cannot_be_fetched_is_waited_for(served: Served) -> None:
    calls: list[int] = []

    def fetch() -> str:
        calls.append(1)
        if len(calls) < 3:
            raise OSError("no vault")
        return "t"

    with client(served, token=fetch) as bus:
        assert bus.publish(PLACED, 1).ok and len(calls) == 3


def test_when_nobody_listens_the_next_address_is_taken(served: Served) -> None:
    with autobus.sync.Bus(f"http://127.0.0.1:1,{served.url}", min_backoff=0.0, max_backoff=0.01) as bus:
        assert bus.publish(PLACED, 1).ok


def test_a_server_that_is_no_gateway_is_told() -> None:
    from websockets.sync.server import serve
    with serve(lambda s: s.recv(), "127.0.0.1", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with autobus.sync.Bus(f"http://127.0.0.1:{server.socket.getsockname()[1]}") as bus:
            with pytest.raises(autobus.Error, match="no gateway of the bus|no hello|negotiat"):
                bus.connect(1)
        server.shutdown()


@pytest.mark.parametrize("url", ["localhost:7070", "ftp://x", "http://", ""], ids=repr)
def test_addresses(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AUTOBUS_SERVER", raising=False)
    if url:
        with pytest.raises(autobus.Error, match="config_invalid"):
            autobus.Bus(url)
        return
    assert autobus.Bus()._config.addresses() == ["ws://localhost:7070/v1/ws"]
    monkeypatch.setenv("AUTOBUS_SERVER", "https://a/, http://b:1/bus")
    assert autobus.Bus()._config.addresses() == ["wss://a/v1/ws", "ws://b:1/bus"]


def test_ready_and_live(served: Served) -> None:
    with client(served) as bus:
        assert not bus.ready() and bus.live()  # it did not have to connect yet
        bus.connect(WAIT)
        assert bus.ready()
        served.tokens = set()
        served.lines[0].cut()
        eventually("it is not ready", lambda: not bus.ready())
        assert bus.live()
        served.tokens = None
        eventually("it is ready again", bus.ready)


def test_live_is_false_when_the_loop_of_the_handlers_hangs(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autobus._core.HANG_TIME", 1.5)
    release, told = threading.Event(), []

    async def main() -> None:
        bus = autobus.Bus(served.url)

        def watch() -> None:
            told.append(eventually("it is told", lambda: not bus.live()))
            release.set()

        @bus.subscribe("billing", types=PLACED, start="earliest")
        async def handle(d: autobus.Delivery) -> None:
            threading.Thread(target=watch, daemon=True).start()
            release.wait(WAIT)  # not await: the loop stands still

        await bus.publish(PLACED, 1)
        running = asyncio.create_task(bus.run(signals=False))
        while not release.is_set():
            await asyncio.sleep(0.01)
        while not bus.live():
            await asyncio.sleep(0.01)
        bus.stop()
        await running
        await bus.close()
    asyncio.run(main())
    assert told == [True]


def test_a_forked_process_has_a_connection_of_its_own(served: Served) -> None:
    with client(served) as bus:
        bus.publish(PLACED, "parent")
        child = os.fork()
        if child == 0:
            code = 1
            try:
                code = 0 if bus.publish(PLACED, "child").ok else 1
                bus.close()
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert bus.publish(PLACED, "parent again").ok
    assert [e["data"] for e in served.gateway.log.events] == ["parent", "child", "parent again"]
    assert len(served.lines) == 2


def test_close_tells_what_is_left() -> None:
    bus = autobus.sync.Bus("http://127.0.0.1:1")
    failed: list[Exception] = []

    def publish() -> None:
        try:
            bus.publish(PLACED, 1, timeout=WAIT)
        except autobus.Error as e:
            failed.append(e)

    t = threading.Thread(target=publish)
    t.start()
    eventually("it waits for the bus", lambda: bus._running and bus._running.core.courier._queue)
    bus.close()
    t.join(WAIT)
    assert len(failed) == 1 and isinstance(failed[0], autobus.Refused)
    with pytest.raises(autobus.Error, match="closed"):
        bus.publish(PLACED, 2)


def test_what_the_bus_lost_is_logged(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    with client(served) as bus:
        bus.subscribe("billing", types=PLACED)(lambda d: None)
        works = bus.start()
        eventually("it is open", lambda: "billing" in served.gateway.queues)
        with caplog.at_level(logging.ERROR, "autobus"):
            served.lines[0].put({"op": "position_lost", "subscription": "billing", "type": PLACED, "from": 1, "to": 9})
            eventually("it is logged", lambda: "deleted before they were read" in caplog.text)
        bus.stop()
        for w in works:
            w.result(WAIT)
