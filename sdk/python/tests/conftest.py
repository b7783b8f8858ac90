# SPDX-License-Identifier: Apache-2.0
"""A gateway behind a real WebSocket, with faults; and the helpers of all tests."""

from __future__ import annotations

import asyncio
import http
import threading
import time
from typing import Any, Callable, Iterator

import pytest
from websockets.asyncio.server import ServerConnection, serve

from autobus._fake.gateway import Gateway
from autobus.testing import Fake

WAIT = 15.0


def eventually(what: str, is_so: Callable[[], Any], timeout: float = WAIT) -> Any:
    """Waits for something that gives no sign when it comes."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if made := is_so():
            return made
        time.sleep(0.005)
    raise AssertionError(f"it does not come that {what}")


class Line:
    """One WebSocket at the server, as a Peer of the Gateway. It is cut when its `fuse` is burnt: so many frames went
    through, both ways counted."""

    def __init__(self, server: Served, socket: ServerConnection):
        self.server, self.socket, self.loop = server, socket, asyncio.get_running_loop()
        self.out: asyncio.Queue[str] = asyncio.Queue()
        self.token = socket.request.headers.get("Authorization", "") if socket.request else ""

    def put(self, frame: dict[str, Any]) -> None:
        from autobus import _json
        text = _json.dumps(frame)
        self.loop.call_soon_threadsafe(self.out.put_nowait, text)

    def cut(self) -> None:
        self.loop.call_soon_threadsafe(self.socket.transport.abort)

    def close(self, code: int) -> None:
        asyncio.run_coroutine_threadsafe(self.socket.close(code), self.loop)

    async def write(self) -> None:
        while True:
            text = await self.out.get()
            if self.server.burns():
                self.socket.transport.abort()
                return
            await self.socket.send(text)

    async def read(self) -> None:
        async for text in self.socket:
            if self.server.burns():
                self.socket.transport.abort()
                return
            self.server.gateway.take(self, text)


class Served:
    """The Gateway on a port of this machine."""

    def __init__(self) -> None:
        self.gateway = Gateway()
        self.fuse: int | None = None   # frames until the connection is cut
        self.tokens: set[str] | None = None  # that are let in; None = all
        self.lines: list[Line] = []
        self.loop = asyncio.new_event_loop()
        self._up = threading.Event()
        self._thread = threading.Thread(target=lambda: self.loop.run_until_complete(self._main()), daemon=True)
        self._thread.start()
        assert self._up.wait(WAIT)

    def burns(self) -> bool:
        if self.fuse is None:
            return False
        self.fuse -= 1
        if self.fuse >= 0:
            return False
        self.fuse = None
        return True

    async def _main(self) -> None:
        self._over = asyncio.Event()
        async with serve(self._line, "127.0.0.1", 0, process_request=self._gate, compression=None,
                         subprotocols=["autobus.v1"], max_size=None) as server:  # type: ignore[list-item]
            self.port = server.sockets[0].getsockname()[1]
            self._up.set()
            await self._over.wait()

    def _gate(self, socket: ServerConnection, request: Any) -> Any:
        if self.tokens is None or request.headers.get("Authorization", "").removeprefix("Bearer ") in self.tokens:
            return None
        return socket.respond(http.HTTPStatus.UNAUTHORIZED, '{"reason":"unauthenticated","code":"unauthenticated"}')

    async def _line(self, socket: ServerConnection) -> None:
        line = Line(self, socket)
        self.lines.append(line)
        self.gateway.connect(line)
        writer = asyncio.create_task(line.write())
        try:
            await line.read()
        except Exception:
            pass
        finally:
            writer.cancel()
            self.gateway.gone(line)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self._over.set)
        self._thread.join(WAIT)


@pytest.fixture
def served() -> Iterator[Served]:
    s = Served()
    yield s
    s.close()


@pytest.fixture
def fake(autobus_fake: Fake) -> Fake:
    return autobus_fake
