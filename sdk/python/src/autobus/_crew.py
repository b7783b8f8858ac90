# SPDX-License-Identifier: Apache-2.0
"""One run of a subscription: what is in hand, which handler has it, how long its lease lives. Everything here happens
in the loop of the client's own thread, so that leases are kept while handlers compute.

What becomes of handled events is told by _settle."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from datetime import datetime, timezone
from typing import Awaitable, Callable

from ._connection import Connection
from ._settle import Settler
from .event import Delivery
from .outcome import Outcome
from .settings import Settings

log = logging.getLogger("autobus")

MIN_TERM, MAX_TERM, DEFAULT_TERM = 1.0, 900.0, 30.0  # seconds that a lease lives
CUT_TIME = 2.0  # for handlers that were told to end


class Task:
    """A delivery in hand."""

    __slots__ = ("delivery", "lease", "conn", "since", "term", "until", "job", "done", "lost", "extending", "timer")

    def __init__(self, delivery: Delivery, lease: str, conn: Connection):
        self.delivery, self.lease, self.conn = delivery, lease, conn
        self.since = time.monotonic()
        self.term = DEFAULT_TERM
        if delivery.deadline is not None:  # by the clock of the gateway, which may differ from ours
            left = (delivery.deadline - datetime.now(timezone.utc)).total_seconds()
            self.term = min(max(left, MIN_TERM), MAX_TERM)
        self.until = self.since + self.term
        self.job: Job | None = None
        self.done = self.lost = self.extending = False
        self.timer: asyncio.TimerHandle | None = None

    @property
    def place(self) -> tuple[str, str, str]:
        return self.delivery.type, self.delivery.source, self.delivery.id


class Job:
    """One call of a handler. `call` is set by whoever runs it: it asks the handler to end."""

    def __init__(self, tasks: list[Task]):
        self.tasks = tasks
        self.begun = time.monotonic()
        self.cancel: Callable[[], None] = lambda: None
        self.over = ""  # why the handler was told to end

    @property
    def live(self) -> bool:
        return any(not t.lost for t in self.tasks)


Invoke = Callable[[Job], Awaitable[list[Outcome]]]


class Crew:
    def __init__(self, name: str, settings: Settings, invoke: Invoke, settler: Settler):
        self.name, self.settings, self.invoke = name, settings, invoke
        self.settler = settler
        self.held: dict[str, Task] = {}                      # by lease
        self.running: dict[tuple[str, str, str], Task] = {}  # that a handler has, even if the lease is lost
        self.queue: deque[Task] = deque()
        self.again: deque[Task] = deque()                    # with batches: those that come alone
        self.busy = 0
        self.stopped = False
        self.idle = asyncio.Event()
        self._jobs: set[asyncio.Task[None]] = set()
        self._flush: asyncio.TimerHandle | None = None
        self.on_opened: Callable[[], None] = lambda: None

    def opened(self, conn: Connection) -> None:
        self.on_opened()

    def take(self, conn: Connection, deliveries: list[tuple[str, Delivery]]) -> None:
        for lease, d in deliveries:
            if lease in self.held:
                continue
            t = self.held[lease] = Task(d, lease, conn)
            (self.again if self.settings.batch and d.attempt > 1 else self.queue).append(t)
            self._arm(t)
        self._start()

    def _start(self) -> None:
        while self.busy < self.settings.concurrency and not self.stopped:
            tasks = self._next()
            if not tasks:
                return
            self.busy += 1
            job = Job(tasks)
            for t in tasks:
                t.job = job
                self.running[t.place] = t
            work = asyncio.create_task(self._labour(job))
            self._jobs.add(work)
            work.add_done_callback(self._jobs.discard)

    def _next(self) -> list[Task]:
        for queue in (self.again, *(() if self.settings.batch else (self.queue,))):
            for t in queue:
                if t.place not in self.running:  # one that lost its lease may still be at it
                    queue.remove(t)
                    return [t]
        batch = self.settings.batch
        if batch is None or not self.queue:
            return []
        if len(self.queue) < batch.events:
            wait = self.queue[0].since + batch.wait - time.monotonic()
            if wait > 0:
                if self._flush is not None:
                    self._flush.cancel()
                self._flush = asyncio.get_running_loop().call_later(wait, self._start)
                return []
        tasks: list[Task] = []
        for t in list(self.queue):
            if len(tasks) < batch.events and t.place not in self.running:
                tasks.append(t)
                self.queue.remove(t)
        return tasks

    async def _labour(self, job: Job) -> None:
        overtime = None
        if self.settings.max_work:
            overtime = asyncio.get_running_loop().call_later(self.settings.max_work, self._cut, job, "too long")
        outcomes: list[Outcome] = [Outcome("")] * len(job.tasks)
        try:
            outcomes = await self.invoke(job)
        except Exception:
            log.exception("%s: a handler could not be run", self.name)
            outcomes = [Outcome("retry", None, "the handler could not be run")] * len(job.tasks)
        finally:
            if overtime is not None:
                overtime.cancel()
            for t, outcome in zip(job.tasks, outcomes):
                self._returned(t, outcome)
            self.busy -= 1
            if self.stopped and self.busy == 0:
                self.idle.set()
            self._start()

    def _returned(self, t: Task, outcome: Outcome) -> None:
        if self.running.get(t.place) is t:
            del self.running[t.place]
        if t.lost or not outcome.kind:
            t.job = None  # without an outcome the lease is kept, until the subscription is left
            return
        t.done = True
        self.settler.tell(t, outcome)

    def _cut(self, job: Job, why: str) -> None:
        if not job.over:
            job.over = why
            job.cancel()

    def _arm(self, t: Task) -> None:
        """Has the lease looked at when two thirds of its time are over."""
        if t.timer is not None:
            t.timer.cancel()
        at = t.until if t.extending else t.until - t.term / 3
        t.timer = asyncio.get_running_loop().call_later(max(0, at - time.monotonic()), self._look, t)

    def _look(self, t: Task) -> None:
        if t.done or t.lost:
            return
        if time.monotonic() >= t.until:
            self.lose(t)
            return
        if not t.extending and not (t.job is not None and t.job.over == "too long"):
            t.extending = True
            self.settler.tell(t, Outcome("extend"))
        t.timer = asyncio.get_running_loop().call_later(max(0.01, t.until - time.monotonic()), self._look, t)

    def extended(self, t: Task, since: float) -> None:
        t.extending, t.until = False, since + t.term
        if not t.done and not t.lost:
            self._arm(t)

    def settled(self, t: Task) -> None:
        self.held.pop(t.lease, None)
        if t.timer is not None:
            t.timer.cancel()

    def revoke(self, leases: list[str]) -> None:
        for lease in leases:
            if (t := self.held.get(lease)) is not None:
                self.lose(t)

    def lose_all(self, conn: Connection) -> None:
        for t in [t for t in self.held.values() if t.conn is conn]:
            self.lose(t)

    def lose(self, t: Task) -> None:
        """Gives up an event that is somebody else's now. Where the outcome is on its way, its answer will tell."""
        if t.done:
            return
        t.lost = t.delivery.lost = True
        self.settled(t)
        if t.job is None:
            for queue in (self.queue, self.again):
                if t in queue:
                    queue.remove(t)
        elif not t.job.live:
            self._cut(t.job, "lost")

    async def wind_up(self) -> bool:
        """Lets no further handler begin and waits for those that run; False = some did not return."""
        self.stopped = True
        if self.busy == 0:
            self.idle.set()
        for wait, why in ((self.settings.grace, ""), (CUT_TIME, "grace")):
            if why:
                for work in {t.job for t in self.running.values() if t.job is not None}:
                    self._cut(work, why)
            try:
                await asyncio.wait_for(self.idle.wait(), wait)
                return True
            except asyncio.TimeoutError:
                continue
        log.error("%s: a handler did not return in time; its event comes again", self.name)
        return False

    def give_up(self) -> None:
        for work in self._jobs:
            work.cancel()
        for t in list(self.held.values()):
            if t.timer is not None:
                t.timer.cancel()


