# SPDX-License-Identifier: Apache-2.0
"""Answers requests: makes the handler of a subscription from a function that returns replies."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Callable

from .errors import Error
from .event import Delivery, Reply, new_id
from .outcome import Reject, Retry, Skip, Verdict

if TYPE_CHECKING:
    from ._base import Base

log = logging.getLogger("autobus")

REPLY_TIME = 30.0  # seconds for which a reply is tried to be written
PROBLEM = "problem"  # the error of a reply that no spec has to declare


class Fault(Exception):
    """Raised by a handler that answers by an error which the spec declares. The request is done by it."""

    def __init__(self, name: str, data: Any = None):
        super().__init__(name)
        self.name, self.data = name, data


def reply_to(request: Delivery, subscription: str, answer: Any, error: str = "") -> Reply:
    """The event that answers a request. `answer` is data, or a Reply with content of its own."""
    r = answer if isinstance(answer, Reply) else Reply("", answer)
    made = Reply(request.type + ".reply", r.data, new_id(), r.source, None, r.subject, "", r.content_type,
                 dict(r.extensions))
    made.extensions |= {"to": request.reply_to, "causationid": request.id, "responder": subscription}
    if error:
        made.extensions["error"] = error
    for name in ("correlationid", "traceparent", "tracestate"):
        if name in request.extensions:
            made.extensions.setdefault(name, request.extensions[name])
    return made


def problem(reason: str, detail: str) -> Reply:
    return Reply("", {"type": f"/problems/{reason}", "reason": reason, "title": "There is no answer.",
                      "code": "unavailable", "detail": detail}, content_type="application/problem+json")


def answering(bus: Base, subscription: str, handler: Callable[..., Any]) -> Callable[[Delivery], None]:
    def handle(d: Delivery) -> None:
        begin(d)
        answer, failure = None, None
        try:
            answer = handler(d)
        except Exception as e:
            failure = e
        while (r := reply_for(d, subscription, answer, failure)) is not None:
            out, refusals = bus._outgoing([r])
            sent = bus._engine.call(bus._engine.core.publish, out, False, _time_left(d))
            receipt = bus._incoming([r], refusals, sent)[0]
            if receipt.error is None:
                break
            failure = refused(failure, receipt.error)
        end(d, failure)
    return handle


def answering_async(bus: Base, subscription: str, handler: Callable[..., Any]) -> Callable[[Delivery], Any]:
    async def handle(d: Delivery) -> None:
        begin(d)
        answer: Any = None
        failure: Exception | None = None
        try:
            answer = await asyncio.wait_for(handler(d), _until(d))
        except asyncio.TimeoutError as e:
            failure = Skip("its deadline came while it was worked on") if d.expired(0) else e
        except Exception as e:
            failure = e
        while (r := reply_for(d, subscription, answer, failure)) is not None:
            out, refusals = bus._outgoing([r])
            sent = await asyncio.wrap_future(bus._engine.submit(bus._engine.core.publish, out, False, _time_left(d)))
            receipt = bus._incoming([r], refusals, sent)[0]
            if receipt.error is None:
                break
            failure = refused(failure, receipt.error)
        end(d, failure)
    if hasattr(handler, "aclose"):  # what is to be awaited when run() ends
        handle.aclose = handler.aclose  # type: ignore[attr-defined]
    return handle


class AnswerRefused(Error):
    """The bus refuses what a handler answered: it is too large, or not as the spec says."""


def begin(d: Delivery) -> None:
    if d.expired():
        raise Skip("its deadline is over")


def reply_for(d: Delivery, subscription: str, answer: Any, failure: Exception | None) -> Reply | None:
    """The reply that a handler's result makes; None where nobody is to get one."""
    if isinstance(failure, (Retry, Skip)) or not d.reply_to:
        return None
    if isinstance(failure, Fault):
        return reply_to(d, subscription, failure.data, failure.name)
    if failure is None:
        return reply_to(d, subscription, answer)
    reason, detail = "responder_failed", "the responder has the reason in its log"
    if isinstance(failure, Error):
        reason, detail = failure.reason, failure.detail
    return reply_to(d, subscription, problem(reason, detail), PROBLEM)


def refused(failure: Exception | None, why: Error) -> Exception:
    """What to tell the caller when the reply was refused, once; raises where that makes no sense."""
    if why.retriable:
        raise why  # the request comes again
    if why.reason == "reply_address_invalid" or failure is not None and not isinstance(failure, Fault):
        raise Reject(str(why))  # the caller cannot be told
    return AnswerRefused({**why.problem, "detail": f"the answer was refused: {why.detail}"})


def end(d: Delivery, failure: Exception | None) -> None:
    """Says what becomes of the request."""
    if failure is None or isinstance(failure, Fault) and d.reply_to:
        return
    if isinstance(failure, (Retry, Skip)) or not d.reply_to and not isinstance(failure, Fault):
        raise failure
    if not isinstance(failure, Verdict):
        log.error("a request could not be answered: %s %s", d.type, d.id, exc_info=failure)
    raise Reject(f"{type(failure).__name__}: {failure}")


def _until(d: Delivery) -> float | None:
    """Seconds until nobody waits for the answer."""
    return None if d.expires is None else max(0.0, (d.expires - datetime.now(timezone.utc)).total_seconds())


def _time_left(d: Delivery) -> float:
    until = _until(d)
    return REPLY_TIME if until is None else min(REPLY_TIME, max(1.0, until + 0.5))
