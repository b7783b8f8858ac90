# SPDX-License-Identifier: Apache-2.0
"""The thread that the client lives in: connections and leases are kept there whatever the service's own threads and
loops do."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import os
import threading
from typing import Any, Callable, Coroutine, TypeVar

from ._core import Core
from .config import Config
from .errors import error
from .hooks import Chain

T = TypeVar("T")


class Engine:
    """One thread, one loop, one Core. A process that was forked has none of them, see mine."""

    def __init__(self, config: Config, hooks: Chain):
        self.pid = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._core: Core | None = None
        started = threading.Event()

        async def build() -> None:
            self._core = Core(config, hooks)
            started.set()

        def main() -> None:
            asyncio.set_event_loop(self._loop)
            self._loop.run_until_complete(build())
            self._loop.run_forever()
            left = asyncio.all_tasks(self._loop)
            for t in left:
                t.cancel()
            self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self._loop.close()

        self._thread = threading.Thread(target=main, name="autobus", daemon=True)
        self._thread.start()
        started.wait()

    @property
    def core(self) -> Core:
        assert self._core is not None
        return self._core

    @property
    def mine(self) -> bool:
        """Whether it runs in this very process, and is not just remembered from before a fork."""
        return self.pid == os.getpid()

    def submit(self, work: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> concurrent.futures.Future[T]:
        coroutine = work(*args)
        try:
            return asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError:
            coroutine.close()
            raise error("server_unreachable", "the client is closed") from None

    def call(self, work: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
        """Waits for it; never from the engine's own thread."""
        return self.submit(work, *args).result()

    def soon(self, work: Callable[..., Any], *args: Any) -> None:
        with contextlib.suppress(RuntimeError):  # it is closed
            self._loop.call_soon_threadsafe(work, *args)

    def close(self) -> None:
        if not self._thread.is_alive():
            return
        try:
            self.call(self.core.close)
        finally:
            self.soon(self._loop.stop)
            self._thread.join(5)
