# SPDX-License-Identifier: Apache-2.0
"""One WebSocket to a gateway, from its hello to its end. It lives once: what comes after it is another one."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Protocol

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from . import _json
from .config import Config
from .errors import Error, error, unreachable

log = logging.getLogger("autobus")

PROTOCOL = "autobus.v1"
DIAL_TIME = 10.0  # seconds
PING_TIME = 5.0   # between pings, and for their answers: a gateway that is gone is noticed within twice this


class Owner(Protocol):
    """Who is told what a connection brings."""

    def heard(self, conn: Connection, frame: dict[str, Any]) -> None: ...
    def broke(self, conn: Connection) -> None: ...


class Connection:
    """Its methods belong to the loop that it was opened in."""

    def __init__(self, url: str, socket: ClientConnection, hello: dict[str, Any], owner: Owner):
        self.url, self.owner = url, owner
        self.instance: str = hello.get("instance") or ""
        self.limits: dict[str, int] = hello.get("limits") or {}
        self.draining = False
        self.closed = False
        self._socket = socket
        self._seq = 0
        self._out: asyncio.Queue[str | None] = asyncio.Queue()
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Lets it run. Nothing is read before, so that its owner hears of it first."""
        self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._write())]

    def next_seq(self) -> int:
        self._seq += 1
        return self._seq

    def send(self, frame: dict[str, Any]) -> None:
        """Frames are written in the order of the calls."""
        self.send_text(_json.dumps(frame))

    def send_text(self, text: str) -> None:
        if not self.closed:
            self._out.put_nowait(text)

    async def ask(self, frame: dict[str, Any], timeout: float) -> dict[str, Any]:
        """Sends a frame and returns its answer; raises Error when the connection ends first, or the answer is one."""
        if self.closed:
            raise unreachable("the connection was lost")
        seq = self.next_seq()
        answer = self._waiting[seq] = asyncio.get_running_loop().create_future()
        try:
            self.send({**frame, "seq": seq})
            return await asyncio.wait_for(answer, timeout)
        except asyncio.TimeoutError:
            raise unreachable("the bus did not answer in time") from None
        finally:
            self._waiting.pop(seq, None)

    async def close(self) -> None:
        """Says goodbye when all is written, and waits for the end."""
        self._out.put_nowait(None)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=2 * PING_TIME)
        self.cut()

    def cut(self) -> None:
        """Ends it without a word."""
        self._end()
        for t in self._tasks:
            t.cancel()
        transport = getattr(self._socket, "transport", None)
        if transport is not None:
            transport.abort()

    async def _write(self) -> None:
        try:
            while (text := await self._out.get()) is not None:
                await self._socket.send(text)
            await self._socket.close()
        except (ConnectionClosed, OSError):
            pass

    async def _read(self) -> None:
        try:
            async for raw in self._socket:
                self._take(_json.loads(raw))
        except (ConnectionClosed, OSError):
            pass
        except Exception:
            log.exception("the bus sent what cannot be read")
            await self._socket.close(1002)
        finally:
            self._end()

    def _take(self, frame: dict[str, Any]) -> None:
        answer = self._waiting.get(frame.get("seq", -1))
        if answer is None:
            self.owner.heard(self, frame)
        elif not answer.done():
            if frame.get("op") == "error":
                answer.set_exception(Error(frame.get("error") or {}))
            else:
                answer.set_result(frame)

    def _end(self) -> None:
        if self.closed:
            return
        self.closed = True
        self._out.put_nowait(None)
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(unreachable("the connection was lost"))
                answer.exception()  # it may be that nobody asks any more
        self.owner.broke(self)


async def dial(config: Config, url: str, token: str, owner: Owner) -> Connection:
    """Opens a connection and hears its hello; raises Error."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        socket = await asyncio.wait_for(connect(
            url, subprotocols=[Subprotocol(PROTOCOL)], compression=None, additional_headers=headers,
            user_agent_header=config.user_agent, max_size=None, open_timeout=None, close_timeout=2.0,
            ping_interval=PING_TIME, ping_timeout=PING_TIME, ssl=config.ssl if url.startswith("wss") else None,
        ), DIAL_TIME)
    except InvalidStatus as e:
        raise _refusal(e) from None
    except Exception as e:  # whatever the network, the name service, TLS or a proxy in between say
        raise unreachable(f"{url}: {str(e) or type(e).__name__}") from None
    try:
        if socket.subprotocol != PROTOCOL:
            raise unreachable(f"{url} speaks WebSocket, but is no gateway of the bus")
        hello = _json.loads(await asyncio.wait_for(socket.recv(), DIAL_TIME))
        if hello.get("op") != "hello":
            raise unreachable(f"{url} says no hello")
        return Connection(url, socket, hello, owner)
    except BaseException as e:
        socket.transport.abort()
        if isinstance(e, (Error, asyncio.CancelledError)):
            raise
        raise unreachable(f"{url} says no hello: {str(e) or type(e).__name__}") from None


def _refusal(e: InvalidStatus) -> Error:
    status = e.response.status_code
    try:
        problem = _json.loads(bytes(e.response.body or b""))
        if isinstance(problem, dict) and problem.get("reason"):
            return Error(problem)
    except ValueError:
        pass
    detail = f"the gateway answers {status} in place of a WebSocket"
    if status in (401, 403):
        return error("unauthenticated" if status == 401 else "forbidden", detail)
    return unreachable(detail)


