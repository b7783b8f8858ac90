# SPDX-License-Identifier: Apache-2.0
"""HTTP applications answer over the bus as they do over HTTP."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

import autobus
from autobus import asgi, http, wsgi
from autobus.http import Request, Response
from autobus.testing import Fake

CALL = "pricing.http.call.v1"


def test_messages_are_those_of_the_other_clients() -> None:
    r = Request("POST", "/quotes?sku=a%20b", [("Host", "pricing"), ("X-Two", "1"), ("X-Two", "2"), ("Connection", "X-Hop"),
                                             ("X-Hop", "h"), ("Content-Length", "99"), ("TE", "gzip"),
                                             ("X-Split", "a\r\nEvil: 1")], b"\x00\xff\r\n\r\n")
    data = http.encode_request(r)
    assert data == (b"POST /quotes?sku=a%20b HTTP/1.1\r\nHost: pricing\r\nX-Two: 1\r\nX-Two: 2\r\nX-Split: a  Evil: 1\r\n"
                    b"Content-Length: 6\r\n\r\n\x00\xff\r\n\r\n")
    back = http.decode_request(data)
    assert (back.method, back.target, back.body) == ("POST", "/quotes?sku=a%20b", b"\x00\xff\r\n\r\n")
    assert http.decode_request(b"GET http://x:1/a?b HTTP/1.1\r\n\r\n").target == "/a?b"
    assert http.encode_response("GET", Response(404, [("Set-Cookie", "a"), ("Set-Cookie", "b")], b"no")) == (
        b"HTTP/1.1 404 Not Found\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 2\r\n\r\nno")
    assert http.encode_response("HEAD", Response(200, [("Content-Length", "7")])).endswith(b"Content-Length: 7\r\n\r\n")
    assert http.encode_response("GET", Response(304, [], b"x")) == b"HTTP/1.1 304 Not Modified\r\n\r\n"
    assert http.encode_request(Request("GET", "/")) == b"GET / HTTP/1.1\r\nHost: \r\n\r\n"


@pytest.mark.parametrize(("r", "reason"), [
    (Request("CONNECT", "/"), "http_unsupported"), (Request("GET", "/", [("Upgrade", "websocket")]), "http_unsupported"),
    (Request("GET", "/", [("Trailer", "X")]), "http_unsupported"), (Request("G T", "/"), "http_unsupported"),
    (Request("GET", "/a b"), "http_unsupported"), (Request("GET", "/", [("a b", "")]), "http_unsupported"),
    (Request("POST", "/", [], b"x" * http.MAX_BYTES), "event_too_large")], ids=lambda r: str(r)[:40])
def test_what_cannot_pass_is_refused(r: Request, reason: str) -> None:
    with pytest.raises(autobus.Error, match=reason):
        http.encode_request(r)


@pytest.mark.parametrize("data", [b"", b"GET /\r\n\r\n", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
                                  b"\xff\r\n\r\n"], ids=repr)
def test_what_is_no_http_is_told(data: bytes) -> None:
    with pytest.raises(autobus.Error, match="data_unreadable"):
        http.decode_request(data)
    with pytest.raises(autobus.Error, match="data_unreadable"):
        http.decode_response(data)


GET, POST, OK = b"GET / HTTP/1.1\r\nHost: a\r\n", b"POST / HTTP/1.1\r\nHost: a\r\n", b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize("data", [
    GET + b"\r\n" + GET + b"\r\n", POST + b"\r\nx", POST + b"Content-Length: 1\r\n\r\nxy",
    POST + b"Content-Length: 3\r\n\r\nxy", POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxy",
    POST + b"Content-Length: +1\r\n\r\nx", POST + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\nx",
    POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", GET + b"Host: b\r\n\r\n",
    GET + b"X-A: 1\nX-Admin: 1\r\n\r\n", GET + b"X-A: 1\rX-Admin: 1\r\n\r\n", GET + b"X-A: \0\r\n\r\n",
    GET + b"X-A\n: 1\r\n\r\n", b"GET quotes HTTP/1.1\r\n\r\n", b"GET x:/quotes HTTP/1.1\r\n\r\n",
    b"GET\n /quotes HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"], ids=lambda d: repr(d)[:60])
def test_a_request_is_one_and_whole(data: bytes) -> None:
    with pytest.raises(autobus.Error, match="data_unreadable"):
        http.decode_request(data)


@pytest.mark.parametrize("data", [
    OK + b"Content-Length: 1\r\n\r\nxy", OK + b"Content-Length: 3\r\n\r\nxy", OK + b"X: 1\nSet-Cookie: a\r\n\r\n",
    OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"HTTP/1.1 204 No Content\r\n\r\nx"], ids=repr)
def test_a_response_is_one_and_whole(data: bytes) -> None:
    with pytest.raises(autobus.Error, match="data_unreadable"):
        http.decode_response(data)


def test_bodies_of_responses() -> None:
    assert http.decode_response(OK + b"\r\nto the end").body == b"to the end"
    assert http.decode_response(OK + b"Content-Length: 7\r\n\r\n").body == b""  # to HEAD
    assert http.decode_response(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n").status == 304


@pytest.mark.parametrize(("sent", "target", "host"), [
    (b"/a/http://b/c?d", "/a/http://b/c?d", "a"), (b"http://x:1/b?c", "/b?c", "x:1"), (b"http://x?c=://", "/?c=://", "x"),
    (b"//x/y", "//x/y", "a"), (b"*", "*", "a"), (b"/\xe9", "/\xe9", "a")])
def test_targets(sent: bytes, target: str, host: str) -> None:
    r = http.decode_request(b"GET " + sent + b" HTTP/1.1\r\nhost: a\r\n\r\n")
    assert (r.target, r.get("Host")) == (target, host)


@pytest.mark.parametrize("r", [
    Request("GET", "/\N{EURO SIGN}"), Request("GET", "/\xe9"), Request("GET\n", "/"), Request("GET", "/\x7f"),
    Request("GET", "/", [("X-A\n", "")]), Request("GET", "/", [("X-A", "5 \N{EURO SIGN}")]),
    Request("GET", "/", [("Host", "a b")])], ids=repr)
def test_nothing_is_replaced_on_the_way(r: Request) -> None:
    with pytest.raises(autobus.Error, match="http_unsupported"):
        http.encode_request(r)


def test_a_field_with_underscores_does_not_pass_for_another() -> None:
    r = Request("GET", "/", [("X_User", "root"), ("X-User", "shop"), ("X_Only", "x")])
    environ = wsgi.environ_of(r, autobus.Delivery(CALL, b""))
    assert environ["HTTP_X_USER"] == "shop" and "HTTP_X_ONLY" not in environ


class Closing(list[bytes]):
    def close(self) -> None:
        raise ZeroDivisionError("after the response")


def wsgi_app(environ: dict[str, Any], start: Any) -> Any:
    body = environ["wsgi.input"].read()
    if environ["PATH_INFO"] == "/broken":
        raise ZeroDivisionError("secret")
    if environ["PATH_INFO"] == "/after":
        start("500 INTERNAL SERVER ERROR", [("X-Own", "yes")])
        return Closing([b"its own words"])
    if environ["PATH_INFO"] == "/large":
        start("200 OK", [])
        return [b"x" * 100_000] * 11
    start("201 Created", [("X-Seen", environ.get("HTTP_X_SENT", "")), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
    text = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}?{environ['QUERY_STRING']} {environ['CONTENT_TYPE']} "
    return [text.encode("latin-1"), body]


class AsgiApp:
    """The same application, which has to be started."""

    def __init__(self) -> None:
        self.events: list[str] = []

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            self.events.append((await receive())["type"])
            scope["state"]["started"] = True
            await send({"type": "lifespan.startup.complete"})
            self.events.append((await receive())["type"])
            return
        assert scope["state"] == {"started": True} and scope["autobus.delivery"].subscription == "pricing"
        message = await receive()
        headers = dict(scope["headers"])
        if scope["path"] == "/broken":
            raise ZeroDivisionError("secret")
        if scope["path"] == "/after":  # Starlette answers by 500 and raises then what the application raised
            await send({"type": "http.response.start", "status": 500, "headers": [(b"x-own", b"yes")]})
            await send({"type": "http.response.body", "body": b"its own words"})
            raise ZeroDivisionError("after the response")
        if scope["path"] == "/large":
            await send({"type": "http.response.start", "status": 200})
            for _ in range(11):
                await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
        await send({"type": "http.response.start", "status": 201, "headers": [
            (b"x-seen", headers.get(b"x-sent", b"")), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]})
        text = f"{scope['method']} {scope['path']}?{scope['query_string'].decode()} "
        text += headers.get(b"content-type", b"").decode() + " "
        await send({"type": "http.response.body", "body": text.encode("utf-8"), "more_body": True})
        await send({"type": "http.response.body", "body": message["body"]})


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_an_application_answers(fake: Fake, kind: str) -> None:
    app = AsgiApp()
    bus: Any = fake.sync_bus() if kind == "wsgi" else fake.bus()
    bus.serve(CALL, subscription="pricing")(wsgi.handler(wsgi_app) if kind == "wsgi" else asgi.handler(app))
    with fake.running(bus):
        caller = fake.sync_bus()
        body = bytes(range(256))
        r = http.call_sync(caller, CALL, "PUT", "/quotes/%D0%B6?sku=a", body=body,
                           fields=[("Host", "pricing"), ("X-Sent", "yes"), ("Content-Type", "image/png")])
        assert r.status == 201 and r.get("X-Seen") == "yes"
        assert r.body == "PUT /quotes/ж?sku=a image/png ".encode() + body
        assert [v for k, v in r.fields if k.lower() == "set-cookie"] == ["a=1", "b=2"]
        assert http.call_sync(caller, CALL, "HEAD", "/x").body == b""
        broken = http.call_sync(caller, CALL, "GET", "/broken")
        assert broken.status == 500 and b"secret" not in broken.body
        after = http.call_sync(caller, CALL, "GET", "/after")
        assert (after.status, after.body, after.get("X-Own")) == (500, b"its own words", "yes")
        with pytest.raises(autobus.ReplyError, match="event_too_large"):
            http.call_sync(caller, CALL, "GET", "/large")
        with pytest.raises(autobus.ReplyError, match="application/http"):
            caller.request(CALL, {"not": "HTTP"})

        async def main() -> list[int]:
            callers = [http.call(fake.bus(), CALL, "POST", f"/{n}", fields=[("Idempotency-Key", "k-1")]) for n in (1, 2)]
            return [r.status for r in await asyncio.gather(*callers)]
        assert asyncio.run(main()) == [201, 201]  # of two callers the same key is not one request
    assert kind == "wsgi" or app.events == ["lifespan.startup", "lifespan.shutdown"]


def test_a_reply_that_is_no_http_is_told(fake: Fake) -> None:
    bus = fake.sync_bus()
    bus.serve(CALL, subscription="pricing")(lambda d: json.dumps({}))
    with fake.running(bus), pytest.raises(autobus.Error, match="no HTTP"):
        http.call_sync(fake.sync_bus(), CALL, "GET", "/")
