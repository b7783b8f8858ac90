# SPDX-License-Identifier: Apache-2.0
"""Calls of HTTP, measured: one after the other, or so many a second whatever becomes of them."""

from __future__ import annotations

import http.client
import itertools
import threading
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import autobus


@dataclass
class Calls:
    """What became of them. `crossed` are answers to somebody else's question."""

    times: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    crossed: int = 0

    def share(self, of: float) -> float:
        """The time, in milliseconds, below which that share of the calls was."""
        ordered = sorted(self.times)
        return 1000 * ordered[min(len(ordered) - 1, int(of * len(ordered)))]

    def __str__(self) -> str:
        return f"{len(self.times)} calls, {len(self.failed)} failed, {self.crossed} crossed"


class HTTPClient:
    """One connection that is kept."""

    def __init__(self, base: str):
        self._connection = http.client.HTTPConnection(str(urlsplit(base).netloc), timeout=60)

    def ask(self, nonce: str) -> tuple[int, str | None, bytes]:
        """Status, the nonce that came back, body."""
        try:
            self._connection.request("GET", "/quotes/A", headers={"X-Nonce": nonce})
            r = self._connection.getresponse()
            return r.status, r.headers["X-Nonce"], r.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise

    def close(self) -> None:
        self._connection.close()


class BusClient:
    """A client that was moved, too: it needs no bridge."""

    def __init__(self, bus: autobus.sync.Bus):
        self._bus = bus

    def ask(self, nonce: str) -> tuple[int, str | None, bytes]:
        r = autobus.http.call_sync(self._bus, "pricing.http.call.v1", "GET", "/quotes/A", fields=[("X-Nonce", nonce)])
        return r.status, r.get("X-Nonce"), r.body


def call(client: HTTPClient | BusClient, nonce: str, into: Calls) -> None:
    began = time.perf_counter()
    try:
        status, back, body = client.ask(nonce)
    except (OSError, http.client.HTTPException, autobus.Error) as e:
        into.failed.append(repr(e))
    else:
        if status != 200:
            into.failed.append(f"{status} {body[:300]!r}")
        elif back != nonce:
            into.crossed += 1
    into.times.append(time.perf_counter() - began)


def one_after_the_other(client: HTTPClient | BusClient, count: int) -> Calls:
    calls = Calls()
    for n in range(20):  # what is made once is made before
        call(client, f"warm-{n}", Calls())
    for n in range(count):
        call(client, f"n-{n}", calls)
    return calls


class Rate:
    """Calls so often a second until it is stopped, from several connections: a late answer keeps no later call back."""

    def __init__(self, base: str, rate: float, clients: int = 16):
        self._base, self._rate = base, rate
        self._numbers, self._lock = itertools.count(), threading.Lock()
        self._began, self._over = time.monotonic(), threading.Event()
        self._calls = [Calls() for _ in range(clients)]
        self._threads = [threading.Thread(target=self._work, args=(c,), daemon=True) for c in self._calls]
        for t in self._threads:
            t.start()

    def __len__(self) -> int:
        return sum(len(c.times) for c in self._calls)

    def stop(self) -> Calls:
        self._over.set()
        for t in self._threads:
            t.join()
        whole = Calls()
        for c in self._calls:
            whole.times += c.times
            whole.failed += c.failed
            whole.crossed += c.crossed
        return whole

    def _work(self, into: Calls) -> None:
        client = HTTPClient(self._base)
        while True:
            with self._lock:
                n = next(self._numbers)
            if self._over.wait(max(0.0, self._began + n / self._rate - time.monotonic())):
                break
            call(client, f"r-{n}", into)
        client.close()
