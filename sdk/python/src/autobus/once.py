# SPDX-License-Identifier: Apache-2.0
"""Keeps what handlers answered, so that a request that comes again is answered as before and not done again."""

from __future__ import annotations

import asyncio
import base64
import concurrent.futures
import functools
import inspect
import json
import threading
from collections import OrderedDict
from typing import Any, Callable, Coroutine, TypeVar

from . import _json
from ._invoke import is_async
from ._serve import Fault
from .errors import error
from .event import Event, Reply
from .outcome import Retry

H = TypeVar("H", bound=Callable[..., Any])

KEPT = 10_000  # answers that are kept in memory
JSON = "application/json"


class Once:
    """Keeps the answers of a handler under the request's source and id (`Once.key`):

        once = autobus.Once(load=load_answer, save=save_answer)

        @bus.serve("booking.seat.book.v1", subscription="booking")
        @once
        def book(request): ...

    A request comes again because a server died or its answer was slow. `load(key)` returns the bytes that
    `save(key, answer)` was given, or None; keep them where all instances of the service find them, in its own database.
    Beside an `async def` handler both may be `async def` too. Without them the last 10,000 answers are kept in memory,
    which helps as long as the process lives and is the only one.

    Answers and Faults are kept, other errors are not; of a Reply, its content. Between the end of the handler and
    `save` a process may die, and then the work is done again. A handler that writes to the same database closes that
    gap by saving `Once.answer(...)` in its own transaction. A request that comes again while the first is worked on,
    in this process, waits for it. The bytes are those of the Go package, so workers of both can share a table. It
    serves handlers of subscribe as well, but not batches."""

    def __init__(self, load: Callable[[str], Any] | None = None, save: Callable[[str, bytes], Any] | None = None):
        if (load is None) != (save is None):
            raise error("request_invalid", "Once has one of load and save", hint="Give both, or none.")
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._load = load or self._kept.get
        self._save = save or self._keep
        self._lock = threading.Lock()
        self._running: dict[str, concurrent.futures.Future[None]] = {}

    @staticmethod
    def key(request: Event) -> str:
        """Under which the answer to a request is kept."""
        return f"{request.source} {request.id}"

    @staticmethod
    def answer(result: Any) -> bytes:
        """What is kept of a handler's result: of data, a Reply or a Fault."""
        kept: dict[str, Any] = {}
        if isinstance(result, Fault):
            kept["error"], result = result.name, result.data
        content = result.content_type if isinstance(result, Reply) else ""
        data = result.data if isinstance(result, Reply) else result
        if isinstance(data, (bytes, bytearray, memoryview)):
            kept["content_type"], raw = content or "application/octet-stream", bytes(data)
        else:
            kept["content_type"], raw = content or JSON, _json.dumps(data).encode()
        kept["data"] = base64.b64encode(raw).decode()
        return json.dumps(kept).encode()

    def __call__(self, handler: H) -> H:
        """Makes a handler that does each request once."""
        made: Any = self._wrap_async(handler) if is_async(handler) else self._wrap(handler)
        if hasattr(handler, "aclose"):  # what is to be awaited when run() ends
            made.aclose = handler.aclose
        return made

    def _wrap(self, handler: Callable[..., Any]) -> Callable[..., Any]:
        @_named(handler)
        def once(request: Event) -> Any:
            key = _key(request)
            while (busy := self._enter(key)) is not None:
                busy.result()
            try:
                found = _stored(lambda: self._load(key))
                if found is not None:
                    return _recall(found)
                result: Any = None
                fault: Fault | None = None
                try:
                    result = handler(request)
                except Fault as e:
                    fault = e
                if (kept := _bytes_of(result if fault is None else fault)) is not None:
                    _stored(lambda: self._save(key, kept))
                if fault is not None:
                    raise fault
                return result
            finally:
                self._leave(key)
        return once

    def _wrap_async(self, handler: Callable[..., Any]) -> Callable[..., Any]:
        @_named(handler)
        async def once(request: Event) -> Any:
            key = _key(request)
            while (busy := self._enter(key)) is not None:
                await asyncio.shield(asyncio.wrap_future(busy))
            try:
                found = await _stored_async(lambda: self._load(key))
                if found is not None:
                    return _recall(found)
                result: Any = None
                fault: Fault | None = None
                try:
                    result = await handler(request)
                except Fault as e:
                    fault = e
                if (kept := _bytes_of(result if fault is None else fault)) is not None:
                    await _to_the_end(_stored_async(lambda: self._save(key, kept)))
                if fault is not None:
                    raise fault
                return result
            finally:
                self._leave(key)
        return once

    def _enter(self, key: str) -> concurrent.futures.Future[None] | None:
        """Takes a key, or gives what ends when whoever has it is done."""
        with self._lock:
            if (busy := self._running.get(key)) is not None:
                return busy
            self._running[key] = concurrent.futures.Future()
            return None

    def _leave(self, key: str) -> None:
        with self._lock:
            busy = self._running.pop(key)
        busy.set_result(None)

    def _keep(self, key: str, answer: bytes) -> None:
        with self._lock:
            self._kept[key] = answer
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)


async def _to_the_end(work: Coroutine[Any, Any, Any]) -> None:
    """The work of a request is done, so its answer is kept also when its deadline comes meanwhile."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise


def _key(request: Any) -> str:
    if isinstance(request, list):
        raise error("request_invalid", "Once is for handlers of single events, not of batches")
    return Once.key(request)


def _named(handler: Callable[..., Any]) -> Callable[..., Any]:
    """The name of the handler, where it has one: an object that can be called has none."""
    return functools.wraps(handler, updated=())


def _bytes_of(result: Any) -> bytes | None:
    """None of what cannot be kept, because no reply can be made of it either."""
    try:
        return Once.answer(result)
    except (TypeError, ValueError):
        return None


def _recall(kept: bytes) -> Any:
    """What a kept answer was: returns data or a Reply, or raises a Fault."""
    d = json.loads(kept)
    content, data = d.get("content_type") or JSON, base64.b64decode(d.get("data") or "")
    made: Any = _json.loads(data) if content == JSON and data else Reply("", data, content_type=content)
    if name := d.get("error"):
        raise Fault(name, made)
    return made


def _stored(call: Callable[[], Any]) -> Any:
    """The event comes again when the store fails: nobody would know otherwise whether its work was done."""
    try:
        made = call()
    except Exception as e:
        raise Retry(f"the answers of before are out of reach: {e}", delay=0) from e
    if inspect.isawaitable(made):
        made.close()  # type: ignore[attr-defined]
        raise error("request_invalid", "load and save are async, but the handler is not")
    return made


async def _stored_async(call: Callable[[], Any]) -> Any:
    try:
        made = call()
        return await made if inspect.isawaitable(made) else made
    except Exception as e:
        raise Retry(f"the answers of before are out of reach: {e}", delay=0) from e
