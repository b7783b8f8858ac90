# SPDX-License-Identifier: Apache-2.0
"""Tells the bus what became of events: one call at a time, and what comes meanwhile goes into the next. So one outcome
alone waits for nothing, and many share a frame."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Callable, Optional

from ._connection import Connection
from .errors import Error, duration
from .outcome import Outcome

if TYPE_CHECKING:
    from ._crew import Crew, Task

log = logging.getLogger("autobus")

SETTLE_TIME = 5.0
FIRST_PAUSE, MAX_PAUSE = 0.05, 1.0
MAX_RESULTS = 1000  # of one frame


class Settler:
    """`main` gives the connection to tell outcomes over whose own is gone; `uncounted` hears of those that did not
    count."""

    def __init__(self, main: Callable[[], Optional[Connection]], uncounted: Callable[["Task"], None]):
        self.main, self.uncounted = main, uncounted
        self.crew: Crew | None = None
        self._out: list[tuple[Task, Outcome]] = []
        self._kick = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task = asyncio.create_task(self._run())

    def tell(self, t: Task, outcome: Outcome) -> None:
        self._out.append((t, outcome))
        self._idle.clear()
        self._kick.set()

    async def close(self, timeout: float) -> None:
        """Waits until all is told."""
        try:
            await asyncio.wait_for(self._idle.wait(), timeout)
        except asyncio.TimeoutError:
            left = sum(o.kind != "extend" for _, o in self._out)
            log.warning("the outcomes of %d events could not be told; the events come again", left)
        self._task.cancel()

    async def _run(self) -> None:
        pause = FIRST_PAUSE
        while True:
            await self._kick.wait()
            posts, self._out = self._out[:MAX_RESULTS], self._out[MAX_RESULTS:]
            posts = [(t, o) for t, o in posts if o.kind != "extend" or not (t.done or t.lost)]
            again: list[tuple[Task, Outcome]] = []
            for conn in {t.conn: None for t, _ in posts}:
                again += await self._settle(conn, [p for p in posts if p[0].conn is conn])
            self._out[:0] = again
            if again:
                await asyncio.sleep(pause)
                pause = min(2 * pause, MAX_PAUSE)
                continue
            pause = FIRST_PAUSE
            if not self._out:
                self._kick.clear()
                self._idle.set()

    async def _settle(self, conn: Connection, posts: list[tuple[Task, Outcome]]) -> list[tuple[Task, Outcome]]:
        """Tells outcomes of one connection's leases and returns those that have to be told again."""
        assert self.crew is not None
        began = time.monotonic()
        over = conn if not conn.closed else self.main()
        whole: Error | None = None
        failed: dict[int, Error] = {}
        try:
            if over is None:
                raise Error({"reason": "server_unreachable", "retriable": True})
            answer = await over.ask({"op": "ack", "subscription": self.crew.name,
                                     "results": [_result(t, o) for t, o in posts]}, SETTLE_TIME)
            for r in answer.get("results") or ():
                failed[r["index"]] = _verdict(r)
        except Error as e:
            whole = e
        again: list[tuple[Task, Outcome]] = []
        for i, (t, o) in enumerate(posts):
            why = whole or failed.get(i)
            if why is None and o.kind == "extend":
                self.crew.extended(t, began)
            elif why is None:
                self.crew.settled(t)
            elif why.retriable and time.monotonic() < t.until:
                again.append((t, o))  # while the lease lives
            elif o.kind == "extend":
                self.crew.lose(t)
            else:
                self.crew.settled(t)
                log.warning("%s: an outcome did not count, the event may come again: %s %s, %s", self.crew.name,
                            t.delivery.type, t.delivery.id, why)
                self.uncounted(t)
        return again


def _result(t: Task, o: Outcome) -> dict[str, str]:
    r = {"lease": t.lease, "outcome": o.kind}
    if o.kind == "retry" and o.delay is not None:
        r["delay"] = duration(o.delay)
    if o.reason:
        r["reason"] = o.reason
    return r


def _verdict(result: dict[str, object]) -> Error:
    problem = result.get("error")
    if isinstance(problem, dict):
        return Error(problem)
    status = result.get("status")
    return Error({"reason": {"stale": "lease_stale", "unknown": "lease_unknown"}.get(str(status), "outcome_invalid"),
                  "detail": f"the bus says of the outcome: {status}"})
