# SPDX-License-Identifier: Apache-2.0
"""A connection without a network: what the client takes for a WebSocket ends in a Gateway of the same process."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, AsyncIterator

from websockets.exceptions import ConnectionClosedError

from .. import _json
from .._connection import PROTOCOL, Connection, Owner
from ..config import Config
from ..errors import unreachable
from .gateway import Gateway


class Socket:
    """Has of a WebSocket what Connection uses, and is the Gateway's Peer at the same time."""

    subprotocol = PROTOCOL

    def __init__(self, gateway: Gateway):
        self.gateway = gateway
        self.transport = self
        self._loop = asyncio.get_running_loop()
        self._in: asyncio.Queue[str | None] = asyncio.Queue()
        self._closed = False

    async def send(self, text: str) -> None:
        if self._closed:
            raise ConnectionClosedError(None, None)
        self.gateway.take(self, text)

    async def recv(self) -> str:
        text = await self._in.get()
        if text is None:
            raise ConnectionClosedError(None, None)
        return text

    async def __aiter__(self) -> AsyncIterator[str]:
        while (text := await self._in.get()) is not None:
            yield text

    async def close(self, code: int = 1000) -> None:
        self.abort()

    def abort(self) -> None:
        if not self._closed:
            self._closed = True
            self.gateway.gone(self)
            self._in.put_nowait(None)

    def put(self, frame: dict[str, Any]) -> None:
        text = _json.dumps(frame)
        with contextlib.suppress(RuntimeError):  # the client's loop is over
            self._loop.call_soon_threadsafe(self._in.put_nowait, text)

    def cut(self) -> None:
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self.abort)


class Dialer:
    """Takes the place of dialing. `away` is for tests in which there is no bus."""

    def __init__(self, gateway: Gateway):
        self.gateway = gateway
        self.away = False

    async def __call__(self, config: Config, url: str, token: str, owner: Owner) -> Connection:
        if self.away:
            raise unreachable("the bus in memory is away")
        socket: Any = Socket(self.gateway)
        self.gateway.connect(socket)
        return Connection(url, socket, _json.loads(await socket.recv()), owner)
