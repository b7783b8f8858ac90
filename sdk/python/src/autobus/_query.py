# SPDX-License-Identifier: Apache-2.0
"""A request that was sent: which of the replies to it count, and whether more are waited for."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from ._connection import Connection
from .errors import Error, error
from .event import Event, Reply
from .receipt import Receipt

if TYPE_CHECKING:
    from ._inbox import Inbox

ALL = -1


class Query:
    """A request that was sent, and its replies as they come. It belongs to the client's loop."""

    def __init__(self, inbox: Inbox, event: Event, want: int, timeout: float):
        self.inbox, self.id, self.type, self.want = inbox, event.id, event.type, want
        self.until = time.monotonic() + timeout
        self.responders: tuple[str, ...] = ()
        self.known = False  # responders are
        self.receipt: Receipt  # of the request, once it was sent
        self.unknown: Error | None = None  # the request may not be written
        self.address = ""  # for its replies
        self.again = False  # it was written before, under this id, and its replies may have come
        self.looks: tuple[Connection, int] | None = None  # where they are looked for
        self.got: set[str] = set()
        self.duplicates = 0
        self._seen: set[str] = set()  # ids of replies, which come again when the inbox was opened again
        self._replies: asyncio.Queue[Reply | None] = asyncio.Queue()
        self._done = False
        # Also of one whose replies nobody reads to the end: it must not stay among the pending.
        self._timer = asyncio.get_running_loop().call_later(timeout, self.close)

    async def next(self) -> Reply | None:
        """None: no more are wanted, or none came in time."""
        if self._done and self._replies.empty():
            return None
        try:
            return await asyncio.wait_for(self._replies.get(), max(0, self.until - time.monotonic()))
        except asyncio.TimeoutError:
            self.close()
            return None

    def take(self, r: Reply) -> None:
        if r.id in self._seen or self._done:
            return
        self._seen.add(r.id)
        who = r.responder or r.source
        if who in self.got:
            self.duplicates += 1
            self.inbox.duplicates += 1
            return
        self.got.add(who)
        self._replies.put_nowait(r)
        self.look()

    def look(self) -> None:
        everybody = self.known and bool(self.responders) and self.got.issuperset(self.responders)
        if everybody or 0 < self.want <= len(self.got):
            self.close()

    def close(self) -> None:
        """Replies that come from now on are late."""
        if not self._done:
            self._done = True
            self._timer.cancel()
            self._replies.put_nowait(None)
            self.inbox.forget(self)

    @property
    def missing(self) -> list[str]:
        return [name for name in self.responders if name not in self.got]

    def why(self) -> Error:
        """Why there are fewer replies than were wanted."""
        if self.unknown is not None:
            return self.unknown
        return error("reply_timeout", f"{'not all replies' if self.got else 'no reply'} to {self.type} came in time",
                     retriable=True, hint="Ask again under the same id, or with a longer timeout.")
