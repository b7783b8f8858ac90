# SPDX-License-Identifier: Apache-2.0
"""The client at the real bus, `autobus dev`, which is killed and started again."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
from pathlib import Path
from typing import Any, Iterator

import pytest

import autobus
from autobus import Delivery, Event
from conftest import WAIT, eventually

PLACED = "orders.order.placed.v1"
SLOW = "demo.quote.wait.v1"
QUOTE = "pricing.quote.price.v1"


class Dev:
    """A bus of its own folder and port."""

    def __init__(self, program: str, folder: Path):
        self.program, self.folder = program, folder
        with socket.create_server(("127.0.0.1", 0)) as s:
            self.port = s.getsockname()[1]
        self.process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, *flags: str) -> None:
        self.process = subprocess.Popen(
            [self.program, "dev", "--no-demo", "--port", str(self.port), "--kafka-port", "0", "--data",
             str(self.folder / "data"), "-o", "json", *flags], cwd=self.folder, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL)
        assert self.process.stdout is not None
        assert json.loads(self.process.stdout.readline())["api"] == self.url

    def end(self, how: int) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.communicate(timeout=2 * WAIT)
            self.process = None


@pytest.fixture
def dev(tmp_path: Path) -> Iterator[Dev]:
    program = os.environ.get("AUTOBUS_BIN")
    if not program:
        pytest.skip("AUTOBUS_BIN does not name the program autobus")
    d = Dev(program, tmp_path)
    d.start()
    yield d
    d.end(signal.SIGKILL)


def test_publish_handle_and_handle_again(dev: Dev) -> None:
    seen: list[Delivery] = []
    with autobus.sync.Bus(dev.url) as bus:
        @bus.subscribe("billing", types=PLACED, start="earliest", backoff=[0.05])
        def handle(d: Delivery) -> None:
            seen.append(d)
            if d.attempt == 1:
                raise ValueError("no paper")

        works = bus.start()
        sent = Event(PLACED, {"n": 2**63, "text": "ж"}, key="k", subject="s", extensions={"correlationid": "c"})
        assert bus.publish(sent).ok and bus.publish(sent).duplicate
        with pytest.raises(autobus.Refused, match="type_invalid"):
            bus.publish("no type", 1)
        binary = b"\x00\xff" * 1000
        assert bus.publish(PLACED, binary, content_type="application/octet-stream", key="b").ok
        eventually("both came twice", lambda: len(seen) == 4)
        first = next(d for d in seen if d.key == "k" and d.attempt == 2)
        assert (first.id, first.data, first.subject, first.extensions) == (sent.id, sent.data, "s", {"correlationid": "c"})
        assert next(d for d in seen if d.key == "b").data == binary
        bus.stop()
        for w in works:
            w.result(WAIT)


def test_nothing_is_lost_when_the_bus_is_killed(dev: Dev) -> None:
    done: dict[int, int] = {}
    written: list[int] = []
    stop = threading.Event()

    with autobus.sync.Bus(dev.url, max_backoff=0.2) as bus:
        @bus.subscribe("billing", types=PLACED, start="earliest", window=20)
        def handle(d: Delivery) -> None:
            done[d.data] = done.get(d.data, 0) + 1

        def publish() -> None:
            n = 0
            while not stop.is_set():
                if bus.publish(PLACED, n, key=str(n % 7)).ok:
                    written.append(n)
                n += 1

        works = bus.start()
        publisher = threading.Thread(target=publish)
        publisher.start()
        for how in (signal.SIGKILL, signal.SIGTERM):
            before = len(written)
            eventually("some are written", lambda: len(written) > before + 50)
            dev.end(how)
            dev.start()
        before = len(written)
        eventually("more are written", lambda: len(written) > before + 50)
        stop.set()
        publisher.join(2 * WAIT)
        eventually("all that was written is handled", lambda: set(written) <= set(done), 2 * WAIT)
        assert not any(w.done() for w in works)
        bus.stop()
        for w in works:
            w.result(WAIT)


def test_a_request_over_the_real_bus(dev: Dev) -> None:
    with autobus.sync.Bus(dev.url) as server, autobus.sync.Bus(dev.url) as caller:
        server.serve(QUOTE, subscription="pricing")(lambda d: {"price": d.data["n"] * 2})
        try:
            caller.request(QUOTE, {"n": 1})
        except autobus.Error as e:
            if e.reason == "unimplemented":
                pytest.fail("the gateway has no inboxes")
            assert e.reason in ("no_responder", "type_unknown")
        works: list[Any] = server.start()
        eventually("the server is ready", server.ready)
        reply = caller.request(QUOTE, {"n": 2**62}, timeout=WAIT)
        assert reply.data == {"price": 2**63} and reply.responder == "pricing"
        replies = caller.requests(QUOTE, {"n": 1}, timeout=WAIT)
        assert [r.data for r in replies] == [{"price": 2}] and replies.missing == []
        server.stop()
        for w in works:
            w.result(WAIT)


def test_the_answer_of_a_call_that_was_given_up_is_found_again(dev: Dev) -> None:
    go_on, answered = threading.Event(), []
    with autobus.sync.Bus(dev.url) as server, autobus.sync.Bus(dev.url) as caller:
        server.serve(SLOW, subscription="slow")(lambda d: go_on.wait(WAIT) and answered.append(d.id) or "right")
        works: list[Any] = server.start()
        eventually("the server is ready", server.ready)
        go_on.set()
        caller.request(SLOW, {"n": 0}, timeout=WAIT)  # the first event makes the topic
        go_on.clear()
        event = autobus.Event(SLOW, {"n": 1})
        with pytest.raises(autobus.Error, match="reply_timeout"):
            caller.request(event, timeout=1.5)
        go_on.set()
        eventually("the reply came in vain", lambda: caller._engine.core.inbox.late == 1)
        assert caller.request(event, timeout=WAIT).data == "right" and answered.count(event.id) == 1
        server.stop()
        for w in works:
            w.result(WAIT)


SPEC = """
asyncapi: 3.1.0
info: {title: TITLE, version: 1.0.0, tags: [{name: 'kind:KIND'}]}
channels:
  request:
    address: TITLE.v1
    messages: {it: {payload: {type: object, required: [n], properties: {n: {type: integer}}}}}
  reply:
    address: TITLE.v1.reply
    messages: {it: {payload: {type: object, properties: {n: {type: integer}, text: {type: string}}}}}
"""


def test_requests_that_cannot_be_answered(dev: Dev) -> None:
    dev.end(signal.SIGTERM)
    specs = dev.folder / "specs"
    specs.mkdir()
    for title, kind in (("shop.quote.price", "query"), ("shop.quote.nobody", "query"), ("shop.seat.book", "command")):
        (specs / f"{title}.v1.yaml").write_text(SPEC.replace("TITLE", title).replace("KIND", kind))
    dev.start("--specs", str(specs))

    def handle(d: Delivery) -> Any:
        return {"text": "x" * 1_100_000} if d.data["n"] == 1000 else {"n": "two"} if d.data["n"] == 2 else d.data

    with autobus.sync.Bus(dev.url) as server, autobus.sync.Bus(dev.url) as caller:
        server.serve("shop.quote.price.v1", subscription="pricing")(handle)
        works: list[Any] = server.start()
        eventually("the server answers", lambda: _reason(caller, "shop.quote.price.v1", {"n": 1}) == "")
        for what, typ, data, extensions, reason in (
            ("unknown type", "no type", {"n": 1}, {}, "type_invalid"),
            ("nobody serves it", "shop.quote.nobody.v1", {"n": 1}, {}, "no_responder"),
            ("data is not as said", "shop.quote.price.v1", {"n": "x"}, {}, "data_invalid"),
            ("names replies", "shop.quote.price.v1.reply", {"n": 1}, {}, "type_invalid"),
            ("reply too large", "shop.quote.price.v1", {"n": 1000}, {}, "responder_failed"),
            ("reply is not as said", "shop.quote.price.v1", {"n": 2}, {}, "responder_failed"),
            ("deadline is over", "shop.quote.price.v1", {"n": 1}, {"expirytime": "2020-01-01T00:00:00Z"},
             "deadline_passed"),
        ):
            assert _reason(caller, typ, data, extensions) == reason, what
        for to in ("made-up", caller._engine.core.inbox._last[:-2] + "xx"):
            for event in (Event("shop.quote.price.v1", {"n": 1}, extensions={"replyto": to}),
                          Event("shop.quote.price.v1.reply", {"n": 1}, extensions={"to": to, "causationid": "1"})):
                with pytest.raises(autobus.Refused, match="reply_address_invalid"):
                    caller.publish(event)
        server.stop()
        for w in works:
            w.result(WAIT)
    with autobus.sync.Bus(dev.url) as first, autobus.sync.Bus(dev.url) as second:
        first.serve("shop.seat.book.v1", subscription="booking")(lambda d: d.data)
        works = first.start()
        eventually("the first serves it", lambda: _reason(first, "shop.seat.book.v1", {"n": 1}) == "")
        second.serve("shop.seat.book.v1", subscription="seats")(lambda d: d.data)
        with pytest.raises(autobus.Error, match="command_taken.*booking"):
            second.run(signals=False)
        first.stop()
        for w in works:
            w.result(WAIT)


def _reason(bus: autobus.sync.Bus, typ: str, data: Any, extensions: Any = None) -> str:
    """Why a request is not answered; empty when it is. It has a minute, which none of them may need."""
    try:
        bus.request(typ, data, extensions=extensions, timeout=60)
    except autobus.Error as e:
        return e.reason
    return ""
