# SPDX-License-Identifier: Apache-2.0
"""The event (a CloudEvent), and the two forms in which one is handed to a service: a delivery and a reply."""

from __future__ import annotations

import base64
import os
import re
import time
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Mapping

from . import _json
from .errors import Refused, error

_NAMED = {"specversion", "id", "source", "type", "time", "subject", "datacontenttype", "dataschema", "data",
          "data_base64", "partitionkey"}


def new_id() -> str:
    """A UUID of version 7: ids that are made later sort later."""
    ms = time.time_ns() // 1_000_000
    n = (ms << 80) | int.from_bytes(os.urandom(10), "big")
    n = n & ~(0xF000 << 64) | (0x7000 << 64)
    n = n & ~(0xC000 << 48) | (0x8000 << 48)
    return str(uuid.UUID(int=n))


@dataclass
class Event:
    """An event to publish. `type` is required; `id` is made here, so that sending again is safe.

    `data` is anything that JSON has a form for, or `bytes` for other content, which `content_type` names. `key` is
    what events keep their order by, where the spec does not take it from the data. `extensions` are further attributes,
    text by lower-case names.
    """

    type: str
    data: Any = None
    id: str = field(default_factory=new_id)
    source: str = ""
    time: datetime | None = None
    subject: str = ""
    key: str = ""
    content_type: str = ""
    extensions: dict[str, str] = field(default_factory=dict)

    def to_wire(self) -> dict[str, Any]:
        """The structured form; raises Refused for what it cannot hold."""
        wire: dict[str, Any] = {"specversion": "1.0", "id": self.id, "type": self.type}
        for name, value in (("source", self.source), ("subject", self.subject), ("partitionkey", self.key),
                            ("datacontenttype", self.content_type)):
            if value:
                wire[name] = value
        if self.time is not None:
            wire["time"] = rfc3339(self.time)
        for name, value in self.extensions.items():
            if name in _NAMED:
                raise error("event_invalid", f"{name} is no extension; it has a field of its own", kind=Refused)
            wire[name] = str(value)
        if isinstance(self.data, (bytes, bytearray, memoryview)):
            wire["data_base64"] = base64.b64encode(self.data).decode()
            wire.setdefault("datacontenttype", "application/octet-stream")
        elif self.data is not None or not self.content_type:
            wire["data"] = self.data
        return wire

    @property
    def expires(self) -> datetime | None:
        """When work on the event is pointless (`expirytime`)."""
        return parse_time(self.extensions.get("expirytime"))

    def expired(self, grace: float = 0.5) -> bool:
        """Whether that is over; `grace` (seconds) is for clocks that differ."""
        t = self.expires
        return t is not None and datetime.now(timezone.utc) > t + timedelta(seconds=grace)


@dataclass
class Delivery(Event):
    """An event handed to a handler. `attempt` counts from 1; `fence` grows with every handing out of events of a key,
    so a table that keeps the greatest can refuse a worker that comes too late. `state` is for hooks and handlers."""

    attempt: int = 1
    fence: int = 0
    deadline: datetime | None = None
    reply_to: str = ""
    subscription: str = ""
    state: dict[str, Any] = field(default_factory=dict)
    lost: bool = False  # it is somebody else's now: what the handler returns will not count


@dataclass
class Reply(Event):
    """An answer to a request. `responder` is the subscription whose worker it came from; `error` the name of the error
    that it is, empty for an answer."""

    @property
    def responder(self) -> str:
        return self.extensions.get("responder", "")

    @property
    def error(self) -> str:
        return self.extensions.get("error", "")

    @property
    def causation_id(self) -> str:
        return self.extensions.get("causationid", "")


def fields_of(wire: Mapping[str, Any], key: str = "") -> dict[str, Any]:
    """The fields of an Event from its structured form."""
    data = wire.get("data")
    if "data_base64" in wire:
        data = base64.b64decode(wire["data_base64"])
    text = {k: _text(v) for k, v in wire.items() if k not in _NAMED}
    return {"type": wire.get("type", ""), "data": data, "id": wire.get("id", ""), "source": wire.get("source", ""),
            "time": parse_time(wire.get("time")), "subject": wire.get("subject", ""),
            "key": key or wire.get("partitionkey", ""), "content_type": wire.get("datacontenttype", ""),
            "extensions": text}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else _json.dumps(value)


def rfc3339(t: datetime) -> str:
    """A time that names no zone is taken as UTC."""
    if t.tzinfo is None:
        t = t.replace(tzinfo=timezone.utc)
    return t.isoformat().replace("+00:00", "Z")


_TIME = re.compile(r"(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)$")


def parse_time(text: Any) -> datetime | None:
    """Reads RFC 3339, nanoseconds cut to microseconds; None for what is none."""
    m = _TIME.match(text) if isinstance(text, str) else None
    if m is None:
        return None
    zone = "+00:00" if m[3] in "Zz" else m[3]
    try:
        return datetime.fromisoformat(f"{m[1].upper()}.{(m[2] or '0')[:6]:0<6}{zone}")
    except ValueError:
        return None
