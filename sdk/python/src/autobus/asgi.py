# SPDX-License-Identifier: Apache-2.0
"""Answers requests of the bus by an ASGI application, with its routes, middleware and tests as they are:

    bus = autobus.Bus(service="offers")
    bus.serve("offers.http.call.v1", subscription="offers")(autobus.asgi.handler(app))

and `python -m autobus run module:bus` in place of the HTTP server. How HTTP travels is in autobus.http."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Awaitable, Callable
from urllib.parse import unquote

from .errors import Error
from .event import Delivery, Reply
from .http import MAX_BYTES, RESPONSE, Request, Response, encode_response, too_large
from .wsgi import failed, http_of

log = logging.getLogger("autobus")

App = Callable[..., Awaitable[None]]

END_TIME = 10.0  # seconds for an application to shut down


class Lifespan:
    """Starts the application before its first request, where it wants to be, and ends it with run()."""

    def __init__(self, app: App):
        self._app = app
        self._begun: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._over = asyncio.Event()
        self.state: dict[str, Any] = {}

    async def begin(self) -> None:
        if self._begun is None:
            self._begun = asyncio.get_running_loop().create_future()
            self._task = asyncio.create_task(self._run(self._begun))
        await asyncio.shield(self._begun)

    async def end(self) -> None:
        if self._task is not None:
            self._over.set()
            await asyncio.wait([self._task], timeout=END_TIME)
            self._begun, self._task, self._over = None, None, asyncio.Event()

    async def _run(self, begun: asyncio.Future[None]) -> None:
        over, asked = self._over, False

        async def receive() -> dict[str, Any]:
            nonlocal asked
            if not asked:
                asked = True
                return {"type": "lifespan.startup"}
            await over.wait()
            return {"type": "lifespan.shutdown"}

        async def send(message: dict[str, Any]) -> None:
            if begun.done():
                return
            if message["type"] == "lifespan.startup.complete":
                begun.set_result(None)
            elif message["type"] == "lifespan.startup.failed":
                begun.set_exception(RuntimeError(f"the application does not start: {message.get('message', '')}"))

        try:
            await self._app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": self.state}, receive, send)
        except Exception:
            log.debug("the application has no lifespan", exc_info=True)
        finally:
            if not begun.done():
                begun.set_result(None)


def handler(app: App) -> Callable[[Delivery], Awaitable[Reply]]:
    """A handler for serve. The scope has the Delivery as `autobus.delivery`. Statuses are answers: a 500 is not tried
    again; an application that fails is logged and answered by 500. The response is sent when it is whole."""
    lifespan = Lifespan(app)

    async def handle(d: Delivery) -> Reply:
        request = http_of(d)
        await lifespan.begin()
        try:
            response = await _call(app, request, d, lifespan.state)
        except Error:
            raise
        except Exception:
            log.exception("the application failed at %s %s", request.method, request.target.partition("?")[0])
            response = failed()
        return Reply("", encode_response(request.method, response), content_type=RESPONSE)
    handle.aclose = lifespan.end  # type: ignore[attr-defined]
    return handle


def scope_of(r: Request, d: Delivery, state: dict[str, Any]) -> dict[str, Any]:
    path, _, query = r.target.partition("?")
    host, _, port = (r.get("host") or "localhost").partition(":")
    return {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": r.method,
        "scheme": "http", "path": unquote(path), "raw_path": path.encode("latin-1"),
        "query_string": query.encode("latin-1"), "root_path": "", "client": None,
        "headers": [(k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in r.fields],
        "server": (host, int(port) if port.isdecimal() else 80), "state": dict(state), "autobus.delivery": d,
    }


async def _call(app: App, r: Request, d: Delivery, state: dict[str, Any]) -> Response:
    made, body, size, asked, whole = Response(0), [], 0, False, asyncio.Event()

    async def receive() -> dict[str, Any]:
        nonlocal asked
        if not asked:
            asked = True
            return {"type": "http.request", "body": r.body, "more_body": False}
        await whole.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        nonlocal size
        if message["type"] == "http.response.start":
            made.status = message["status"]
            made.fields = [(k.decode("latin-1"), v.decode("latin-1")) for k, v in message.get("headers") or ()]
        elif message["type"] == "http.response.body":
            body.append(message.get("body") or b"")
            size += len(body[-1])
            if size > MAX_BYTES:
                raise too_large(size)
            if not message.get("more_body"):
                whole.set()

    try:
        await app(scope_of(r, d, state), receive, send)
    except Exception:
        if not whole.is_set():
            raise
        log.exception("the application failed after its response to %s %s", r.method, r.target.partition("?")[0])
    if not made.status or not whole.is_set():
        raise RuntimeError("the application did not send a whole response")
    made.body = b"".join(body)
    return made
