# SPDX-License-Identifier: Apache-2.0
"""Calls handlers: `async def` ones in the loop of the service, others in threads of their own; never in the loop of the
client, which has leases to keep."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import queue
import threading
import time
from typing import Any, Callable, Generator, Sequence

from ._crew import Job
from .event import Delivery
from .hooks import Chain, LeaseLost
from .outcome import Outcome, Verdict, outcome_of, per_event

log = logging.getLogger("autobus")


class Threads:
    """A few threads that do not keep the process from ending, as those of the standard library's pool would when a
    handler hangs."""

    def __init__(self, most: int, name: str):
        self._most, self._name = most, name
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._count = 0

    def run(self, work: Callable[[], None]) -> None:
        if not self._idle.acquire(blocking=False) and self._count < self._most:
            self._count += 1
            threading.Thread(target=self._serve, name=f"{self._name}-{self._count}", daemon=True).start()
        self._work.put(work)

    def close(self) -> None:
        for _ in range(self._count):
            self._work.put(None)

    def _serve(self) -> None:
        while (work := self._work.get()) is not None:
            work()
            self._idle.release()


class Invoker:
    """Calls the handler of a subscription, hooks around it, and says what became of each event."""

    def __init__(self, name: str, handler: Callable[..., Any], batch: bool, hooks: Chain, threads: int,
                 loop: asyncio.AbstractEventLoop | None):
        self.name, self.handler, self.batch, self.hooks, self.loop = name, handler, batch, hooks, loop
        self.is_async = is_async(handler)
        self.threads = None if self.is_async else Threads(threads, f"autobus-{name}")

    async def __call__(self, job: Job) -> list[Outcome]:
        here = asyncio.get_running_loop()
        done: asyncio.Future[list[Outcome]] = here.create_future()

        def settle(outcomes: list[Outcome] | None, e: BaseException | None) -> None:
            if done.done():
                return
            if e is None and outcomes is not None:
                done.set_result(outcomes)
            else:
                done.set_exception(e or RuntimeError("the handler was not run"))

        def tell(outcomes: list[Outcome] | None, e: BaseException | None) -> None:
            with contextlib.suppress(RuntimeError):  # the client is closed meanwhile
                here.call_soon_threadsafe(settle, outcomes, e)

        if self.threads is not None:
            self.threads.run(lambda: tell(*_caught(lambda: self._work(job))))
        elif self.loop is not None:
            self._spawn(self.loop, job, tell)
        return await done

    def close(self) -> None:
        if self.threads is not None:
            self.threads.close()

    def _spawn(self, loop: asyncio.AbstractEventLoop, job: Job, tell: Callable[..., None]) -> None:
        def start() -> None:
            task = loop.create_task(self._work_async(job))
            job.cancel = lambda: loop.call_soon_threadsafe(task.cancel)  # type: ignore[assignment]
            if job.over:
                task.cancel()
            task.add_done_callback(lambda t: tell(None, asyncio.CancelledError()) if t.cancelled() else
                                   tell(*_caught(t.result)))
        loop.call_soon_threadsafe(start)

    def _work(self, job: Job) -> list[Outcome]:
        results: list[BaseException | None] = []
        for d in _deliveries(job):
            results.append(_error_of(lambda d=d: self.hooks.run("before", d)))  # type: ignore[misc]
        todo = self._todo(job, results)
        if todo:
            began = time.monotonic()
            result = _error_of(lambda: self.handler(todo if self.batch else todo[0]), keep=self.batch)
            self._merge(job, results, result, began)
        outcomes: list[Outcome] = []
        for step in self._finish(job, results, outcomes):
            self.hooks.run(*step)
        return outcomes

    async def _work_async(self, job: Job) -> list[Outcome]:
        results: list[BaseException | None] = []
        for d in _deliveries(job):
            try:
                await self.hooks.run_async("before", d)
                results.append(None)
            except Verdict as e:
                results.append(e)
        todo = self._todo(job, results)
        if todo:
            began = time.monotonic()
            result: Any = None
            try:
                made = await self.handler(todo if self.batch else todo[0])
                result = made if self.batch else None
            except (Exception, asyncio.CancelledError) as e:
                result = e
            self._merge(job, results, result, began)
        outcomes: list[Outcome] = []
        for step in self._finish(job, results, outcomes):
            await self.hooks.run_async(*step)
        return outcomes

    def _todo(self, job: Job, results: list[BaseException | None]) -> list[Delivery]:
        return [d for d, r in zip(_deliveries(job), results) if r is None and not d.lost]

    def _merge(self, job: Job, results: list[BaseException | None], result: Any, began: float) -> None:
        """Puts what the handler said into the places of the events that it had."""
        places = [i for i, (d, r) in enumerate(zip(_deliveries(job), results)) if r is None]
        for i, r in zip(places, per_event(result, len(places))):
            if r is not None and not isinstance(r, Verdict) and job.over == "too long":
                r = TimeoutError(f"the handler worked longer than it may, {time.monotonic() - began:.0f} s")
            results[i] = r

    def _finish(self, job: Job, results: Sequence[BaseException | None],
                outcomes: list[Outcome]) -> Generator[tuple[Any, ...], None, None]:
        """Says which hooks to call, in their order, and what the bus will be told."""
        for d, e in zip(_deliveries(job), results):
            o = outcome_of(e)
            if d.lost:
                o, lost = Outcome(""), LeaseLost("the event is somebody else's now")
                lost.__cause__ = e
                e = lost
            elif e is not None and not isinstance(e, Verdict) and job.over == "grace":
                o = Outcome("")  # given up because we stop: the event is not to blame
            outcomes.append(o)
            if e is not None and o.kind != "skip":
                log.warning("%s: an event was not handled: %s %s, attempt %d, %s", self.name, d.type, d.id, d.attempt,
                            o.kind or "given up", exc_info=None if isinstance(e, (Verdict, LeaseLost)) else e)
                yield "error", d, e
            if o.kind == "retry":
                yield "retry", d, o
            yield "after", d, o


def is_async(handler: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(getattr(handler, "__call__", None))


def _deliveries(job: Job) -> list[Delivery]:
    return [t.delivery for t in job.tasks]


def _error_of(call: Callable[[], Any], keep: bool = False) -> Any:
    """What a call raised; with keep, else what it returned."""
    try:
        made = call()
        return made if keep else None
    except BaseException as e:  # a handler that ends its thread must not take the event along
        return e


def _caught(call: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    try:
        return call(), None
    except BaseException as e:
        return None, e
