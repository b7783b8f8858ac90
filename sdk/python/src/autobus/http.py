# SPDX-License-Identifier: Apache-2.0
"""How HTTP travels over the bus: the data of an event is one whole message of HTTP/1.1 under application/http, so
method, path, fields, status and body arrive as they were, bodies byte for byte. What cannot pass is refused: CONNECT, a
change of protocol, trailers, streams without an end, and more than MAX_BYTES."""

from __future__ import annotations

import http as _http
import re
from dataclasses import dataclass, field
from typing import Iterable, Sequence

from .bus import Bus
from .errors import Error, error
from .event import Event, Reply
from .sync import Bus as SyncBus

MEDIA = "application/http"
REQUEST = MEDIA + ";msgtype=request"
RESPONSE = MEDIA + ";msgtype=response"
MAX_BYTES = 1_000_000 - (16 << 10)  # of a message, fields and body

Fields = Sequence[tuple[str, str]]

_DROP = {"host", "content-length", "connection", "proxy-connection", "keep-alive", "proxy-authenticate",
         "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade", "expect"}
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_HOST = re.compile(r'[^\x00-\x20\x7f"#,/<>?@\\^`{|}]*')
_URL = re.compile(r"https?://([^/?#]*)(.*)", re.IGNORECASE)  # of a request, as a client of a proxy writes it
_BREAKS = re.compile("[\r\n\0]")  # a value cannot begin another field
_STATUS = re.compile(r"HTTP/1\.[01] ([0-9]{3})(?: .*)?")


@dataclass
class Request:
    """`target` is the path with its query, as it stands in the request."""

    method: str
    target: str
    fields: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""

    def get(self, name: str) -> str:
        """The first field of a name, in whatever case."""
        return _get(self.fields, name)


@dataclass
class Response:
    """`fields` have a name as often as it was sent."""

    status: int
    fields: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""

    def get(self, name: str) -> str:
        """The first field of a name, in whatever case."""
        return _get(self.fields, name)


def encode_request(r: Request) -> bytes:
    """Writes a request; raises Error for what cannot pass."""
    if r.method.upper() == "CONNECT" or r.get("upgrade"):
        raise unsupported(f"{r.method} {r.target} asks for another protocol")
    if r.get("trailer"):
        raise unsupported("the request has trailers")
    if (not _TOKEN.fullmatch(r.method) or not r.target.startswith(("/", "*"))
            or not re.fullmatch(r"[\x21-\x7e]+", r.target) or not _HOST.fullmatch(r.get("host"))):
        raise unsupported(f"{r.method!r} {r.target!r} to {r.get('host')!r} is no request of HTTP")
    length = str(len(r.body)) if r.body or r.get("content-length") or r.method in ("POST", "PUT", "PATCH") else ""
    return _finish(f"{r.method} {r.target} HTTP/1.1", [("Host", r.get("host"))], r.fields, length, r.body)


def decode_request(data: bytes) -> Request:
    """Reads a request; raises Error when it is none, not whole, or not the only one."""
    start, fields, rest = _parse(data)
    parts = start.split(" ")
    if len(parts) != 3 or not _TOKEN.fullmatch(parts[0]) or not parts[2].startswith("HTTP/1."):
        raise _unreadable("request")
    target, hosts = parts[1], [v for k, v in fields if k.lower() == "host"]
    if url := _URL.fullmatch(target):
        target = url[2] if url[2].startswith("/") else "/" + url[2]
        hosts = hosts and [url[1].rpartition("@")[2]]
        fields = [(k, hosts[0] if k.lower() == "host" else v) for k, v in fields]
    elif not target.startswith("/") and target != "*":
        raise _unreadable("request")
    if len(hosts) > 1 or not all(map(_HOST.fullmatch, hosts)) or len(rest) != (_length(fields) or 0):
        raise _unreadable("request")
    return Request(parts[0], target, fields, rest)


def encode_response(method: str, r: Response) -> bytes:
    """Writes the response to a request of a method. One to HEAD keeps the Content-Length that it says."""
    if r.status < 200 or r.status > 999:
        raise unsupported(f"the response {r.status} is not the last")
    body, length = r.body, str(len(r.body))
    if r.status in (204, 304):
        body, length = b"", ""
    elif method == "HEAD":
        body, length = b"", r.get("content-length") or (length if r.body else "")
    try:
        phrase = _http.HTTPStatus(r.status).phrase
    except ValueError:
        phrase = ""
    return _finish(f"HTTP/1.1 {r.status} {phrase}", [], r.fields, length, body)


def decode_response(data: bytes) -> Response:
    """Reads a response; raises Error when it is none, not whole, or not the only one."""
    start, fields, rest = _parse(data)
    m = _STATUS.fullmatch(start)
    if m is None:
        raise _unreadable("response")
    status, length = int(m[1]), _length(fields)
    if rest and (status in (204, 304) or length not in (None, len(rest))):  # to HEAD there is none, whatever it says
        raise _unreadable("response")
    return Response(status, fields, rest)


def is_http(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == MEDIA


def request_event(type: str, method: str, target: str, fields: Iterable[tuple[str, str]], body: bytes) -> Event:
    """The request as an event, with an id of its own: an Idempotency-Key is the service's to honour, as over HTTP."""
    r = Request(method, target, list(fields), body)
    made = Event(type, encode_request(r), content_type=REQUEST)
    if parent := r.get("traceparent"):
        made.extensions["traceparent"] = parent
    return made


def response_of(reply: Reply) -> Response:
    """The response that a reply carries."""
    if not is_http(reply.content_type) or not isinstance(reply.data, bytes):
        raise Error({"reason": "responder_failed", "code": "unavailable",
                     "detail": f"{reply.responder} answered {reply.content_type!r}, which is no HTTP"})
    return decode_response(reply.data)


async def call(bus: Bus, type: str, method: str, target: str, *, fields: Fields = (), body: bytes = b"",
               timeout: float = 30.0) -> Response:
    """Asks an HTTP endpoint over the bus. Every status is an answer; errors are those of Bus.request."""
    return response_of(await bus.request(request_event(type, method, target, fields, body), timeout=timeout))


def call_sync(bus: SyncBus, type: str, method: str, target: str, *, fields: Fields = (), body: bytes = b"",
              timeout: float = 30.0) -> Response:
    """As call, for the twin without asyncio."""
    return response_of(bus.request(request_event(type, method, target, fields, body), timeout=timeout))


def unsupported(detail: str) -> Error:
    return error("http_unsupported", detail, code="unimplemented",
                 hint="Upgrades, tunnels, trailers and bodies over the event limit need a direct connection.")


def too_large(n: int) -> Error:
    return error("event_too_large", f"a message of HTTP has {n} bytes or more, at most {MAX_BYTES} pass")


def _finish(start: str, first: Fields, fields: Fields, length: str, body: bytes) -> bytes:
    drop = set(_DROP)
    for name, value in fields:
        if name.lower() == "connection":
            drop |= {v.strip().lower() for v in value.split(",")}
    lines = [start]
    for name, value in [*first, *(f for f in fields if f[0].lower() not in drop)]:
        if not _TOKEN.fullmatch(name):
            raise unsupported(f"{name!r} cannot be the name of a field")
        lines.append(name + ": " + _BREAKS.sub(" ", value).strip(" \t"))
    if length:
        lines.append(f"Content-Length: {length}")
    try:
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
    except UnicodeEncodeError as e:
        raise unsupported(f"{e.object[e.start:e.end]!r} has no form in a field of HTTP; encode the value") from None
    if len(head) + len(body) > MAX_BYTES:
        raise too_large(len(head) + len(body))
    return head + body


def _parse(data: bytes) -> tuple[str, list[tuple[str, str]], bytes]:
    head, end, rest = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    if not end or any(map(_BREAKS.search, lines)):
        raise _unreadable("message")
    fields = []
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or not _TOKEN.fullmatch(name) or name.lower() == "transfer-encoding":
            raise _unreadable("message")
        fields.append((name, value.strip(" \t")))
    return lines[0], fields, rest


def _length(fields: Fields) -> int | None:
    """The Content-Length, None where none is said."""
    said = {v for k, v in fields if k.lower() == "content-length"}
    if not said:
        return None
    if len(said) > 1 or not re.fullmatch(r"[0-9]{1,9}", text := said.pop()):
        raise _unreadable("message")
    return int(text)


def _unreadable(what: str) -> Error:
    return error("data_unreadable", f"the data is no {what} of HTTP")


def _get(fields: Iterable[tuple[str, str]], name: str) -> str:
    return next((v for k, v in fields if k.lower() == name.lower()), "")
