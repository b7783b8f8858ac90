# SPDX-License-Identifier: Apache-2.0
"""What was published, and the rules at publishing."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Callable

from .. import _json
from ..event import parse_time, rfc3339

TYPE = re.compile(r"[a-z][a-z0-9-]*(\.[a-z][a-z0-9-]*){1,4}\.v[1-9][0-9]*$")


@dataclass
class Plan:
    """A failure that a test ordered. `what` is refuse, lose_request, lose_answer or unknown."""

    what: str
    left: int
    problem: dict[str, Any] = field(default_factory=dict)
    when: Callable[[dict[str, Any]], bool] = lambda event: True


class Refusal(Exception):
    def __init__(self, reason: str, detail: str, code: str = "invalid_argument", **more: Any):
        super().__init__(reason)
        self.problem = {"reason": reason, "code": code, "detail": detail, **more}


class Log:
    """All events of all types, in their order. `check` looks at the data of one."""

    def __init__(self, check: Callable[[dict[str, Any]], None]):
        self.events: list[dict[str, Any]] = []
        self._check = check
        self._known: dict[tuple[str, str], str] = {}

    def append(self, event: dict[str, Any]) -> tuple[dict[str, Any], bool]:
        """Takes an event, and says whether it was there already; raises Refusal."""
        if not event.get("id"):
            raise Refusal("event_invalid", "the event has no id")
        if not TYPE.match(self.request_type(event)):
            raise Refusal("type_invalid", f"{event.get('type')!r} is no type")
        size = len(_json.dumps(event).encode())
        if size > 1_000_000:
            raise Refusal("event_too_large", f"the event has {size} bytes, more than 1000000")
        if (expiry := parse_time(event.get("expirytime"))) is not None and expiry < datetime.now(timezone.utc):
            raise Refusal("deadline_passed", "the deadline of the request is over")
        self._check(event)
        event = {"source": "/test", "time": rfc3339(datetime.now(timezone.utc)),
                 "datacontenttype": "application/json", **event}
        content = hashlib.sha256(_json.dumps([event["type"], event.get("partitionkey"), event.get("data"),
                                              event.get("data_base64")]).encode()).hexdigest()
        place = (event["source"], event["id"])
        if (before := self._known.get(place)) is not None:
            if before != content:
                raise Refusal("id_conflict", f"another event was published under the id {event['id']}",
                              "already_exists")
            return event, True
        self._known[place] = content
        if not self.is_reply(event):
            self.events.append(event)
        return event, False

    @staticmethod
    def is_reply(event: dict[str, Any]) -> bool:
        return str(event.get("type", "")).endswith(".reply")

    @staticmethod
    def request_type(event: dict[str, Any]) -> str:
        return str(event.get("type", "")).removesuffix(".reply")
