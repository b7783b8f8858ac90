# SPDX-License-Identifier: Apache-2.0
"""What goes wrong: one class of error with a stable reason, and the few subclasses that callers tell apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Mapping

if TYPE_CHECKING:
    from .event import Reply


class Error(Exception):
    """A refusal or failure, as the gateway tells it.

    `reason` is what programs go by: a stable word such as `data_invalid`. `code` is its class, `retriable` says whether
    the same attempt may succeed later and `retry_after` (seconds) when, `hint` what to do next. `errors` point into the
    data. `problem` is the whole object as it came (RFC 9457).
    """

    def __init__(self, problem: Mapping[str, Any]):
        self.problem = dict(problem)
        self.reason: str = str(problem.get("reason") or "internal")
        self.code: str = str(problem.get("code") or "internal")
        self.detail: str = str(problem.get("detail") or problem.get("title") or "")
        self.hint: str = str(problem.get("hint") or "")
        self.retriable: bool = bool(problem.get("retriable"))
        self.retry_after: float | None = seconds(problem.get("retry_after"))
        self.errors: list[dict[str, Any]] = list(problem.get("errors") or [])
        super().__init__(self.reason, self.detail)

    def __str__(self) -> str:
        text = f"{self.reason}: {self.detail}" if self.detail else self.reason
        for fault in self.errors[:3]:
            text += f"; {fault.get('pointer') or '/'}: {fault.get('rule')}"
            if "want" in fault:
                text += f", want {fault['want']}"
        return f"{text} ({self.hint})" if self.hint else text


class Refused(Error):
    """The event was certainly not written by this attempt."""


class Unknown(Error):
    """No answer came in time: the event may still be written. Publish it again under the same id."""


class ReplyError(Error):
    """A service answered a request with an error. `name` is the error's own, `reply` the whole answer."""

    def __init__(self, name: str, reply: Reply, problem: Mapping[str, Any]):
        super().__init__(problem)
        self.name = name
        self.reply = reply


def error(reason: str, detail: str, *, code: str = "", hint: str = "", retriable: bool = False,
          kind: type[Error] = Error) -> Error:
    """Makes an error of this side, with the reasons that the gateway has for it too."""
    return kind({"reason": reason, "code": code or _CODES.get(reason, "invalid_argument"), "detail": detail,
                 "hint": hint, "retriable": retriable})


def unreachable(detail: str, kind: type[Error] = Error) -> Error:
    return error("server_unreachable", detail, retriable=True, kind=kind,
                 hint="Check the address of the bus, and that it runs there.")


_CODES = {
    "server_unreachable": "unavailable", "outcome_unknown": "deadline_exceeded", "reply_timeout": "deadline_exceeded",
    "no_responder": "unavailable", "predecessor_failed": "aborted", "unauthenticated": "unauthenticated",
    "forbidden": "permission_denied", "internal": "internal",
}

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(text: Any) -> float | None:
    """Reads a duration of the protocol, such as "1m30s"; None when it is none."""
    if not isinstance(text, str) or not text:
        return None
    total, number, unit = 0.0, "", ""
    for c in text + "0":
        if c.isdigit() or c == ".":
            if unit:
                if unit not in _UNITS or not number:
                    return None
                total, number, unit = total + float(number) * _UNITS[unit], "", ""
            number += c
        else:
            unit += c
    return total


def duration(value: float | str) -> str:
    """Writes seconds as the protocol wants them; text is left as it is."""
    return value if isinstance(value, str) else f"{round(value * 1000)}ms"
