# SPDX-License-Identifier: Apache-2.0
"""What the twins make of a request and of its reply."""

from __future__ import annotations

from ._query import ALL, Query
from .errors import ReplyError, error
from .event import Reply


class Progress:
    """How far a request is."""

    def __init__(self, query: Query):
        self._query = query

    @property
    def id(self) -> str:
        return self._query.id

    @property
    def got(self) -> int:
        return len(self._query.got)

    @property
    def missing(self) -> list[str]:
        return self._query.missing

    @property
    def duplicates(self) -> int:
        return self._query.duplicates

    def _check_end(self) -> None:
        """Raises where no replies does not mean that nobody replied: the request may not be written."""
        if self._query.unknown is not None and not self.got:
            raise self._query.unknown


def check_ask(want: int, timeout: float) -> None:
    if want == 0 or want < ALL:
        raise error("request_invalid", f"{want} replies cannot be waited for",
                    hint='Ask for 1 or more, or "all". What wants no reply is published.')
    if timeout <= 0:
        raise error("deadline_passed", "the deadline of the request is over")


def answer_of(query: Query, reply: Reply | None) -> Reply:
    """The reply, or raises what it is or why there is none."""
    if reply is None:
        raise query.why()
    if not reply.error:
        return reply
    problem = reply.data if isinstance(reply.data, dict) and reply.error == "problem" else {}
    detail = f"{reply.responder or reply.source} answered {reply.error}"
    if problem:
        detail = f"{reply.responder or reply.source} could not answer: {problem.get('reason')}: {problem.get('detail')}"
    raise ReplyError(reply.error, reply, {"reason": "responder_failed", "code": "unavailable", "detail": detail})
