# SPDX-License-Identifier: Apache-2.0
"""Answers requests of the bus by a WSGI application, with its routes, middleware and tests as they are:

    bus = autobus.sync.Bus(service="pricing")
    bus.serve("pricing.http.call.v1", subscription="pricing")(autobus.wsgi.handler(app))

and `python -m autobus run module:bus` in place of the HTTP server. How HTTP travels is in autobus.http."""

from __future__ import annotations

import io
import logging
import sys
from typing import Any, Callable, Iterable
from urllib.parse import unquote_to_bytes

from .errors import Error, error
from .event import Delivery, Reply
from .http import MEDIA, RESPONSE, Request, Response, decode_request, encode_response, is_http, too_large
from .http import MAX_BYTES as _MAX

log = logging.getLogger("autobus")

App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def handler(app: App) -> Callable[[Delivery], Reply]:
    """A handler for serve. The environ has the Delivery as `autobus.delivery`. Statuses are answers: a 500 is not tried
    again; an application that fails is logged and answered by 500."""

    def handle(d: Delivery) -> Reply:
        request = http_of(d)
        try:
            response = _call(app, environ_of(request, d))
        except Error:
            raise
        except Exception:
            log.exception("the application failed at %s %s", request.method, request.target.partition("?")[0])
            response = failed()
        return Reply("", encode_response(request.method, response), content_type=RESPONSE)
    return handle


def http_of(d: Delivery) -> Request:
    """The request that a delivery carries; raises Error when it carries none."""
    if not is_http(d.content_type) or not isinstance(d.data, bytes):
        raise error("content_type_unsupported", f"the responder takes {MEDIA}, not {d.content_type!r}")
    return decode_request(d.data)


def failed() -> Response:
    return Response(500, [("Content-Type", "text/plain; charset=utf-8")], b"Internal Server Error\n")


def environ_of(r: Request, d: Delivery) -> dict[str, Any]:
    path, _, query = r.target.partition("?")
    host, _, port = (r.get("host") or "localhost").partition(":")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": r.method, "SCRIPT_NAME": "", "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "RAW_URI": r.target, "QUERY_STRING": query, "SERVER_NAME": host, "SERVER_PORT": port or "80",
        "SERVER_PROTOCOL": "HTTP/1.1", "CONTENT_TYPE": r.get("content-type"), "CONTENT_LENGTH": str(len(r.body)),
        "wsgi.version": (1, 0), "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(r.body),
        "wsgi.errors": sys.stderr, "wsgi.multithread": True, "wsgi.multiprocess": True, "wsgi.run_once": False,
        "autobus.delivery": d,
    }
    for name, value in r.fields:
        if "_" in name:
            continue  # it would pass for the field with hyphens; web servers leave it away as well
        key = "HTTP_" + name.upper().replace("-", "_")
        if key not in ("HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH"):
            environ[key] = f"{environ[key]},{value}" if key in environ else value
    return environ


def _call(app: App, environ: dict[str, Any]) -> Response:
    made = Response(0)
    written: list[bytes] = []

    def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], None]:
        made.status, made.fields = int(status[:3]), list(headers)
        return written.append

    chunks = app(environ, start)
    try:
        size = sum(map(len, written))
        for chunk in chunks:
            written.append(chunk)
            size += len(chunk)
            if size > _MAX:
                raise too_large(size)
    finally:
        try:
            getattr(chunks, "close", lambda: None)()
        except Exception:  # as a server, which has sent the response by then
            log.exception("the application failed when its response was closed")
    if not made.status:
        raise RuntimeError("the application did not start a response")
    made.body = b"".join(written)
    return made
