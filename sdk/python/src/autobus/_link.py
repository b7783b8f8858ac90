# SPDX-License-Identifier: Apache-2.0
"""Keeps a connection: dials the addresses in turn, connects again after a break, moves on from a gateway that drains.

It knows nothing of events: what a connection brings is handed to its client."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import Any, Protocol

from ._connection import Connection, dial
from .config import Config, Token
from .errors import Error, unreachable

log = logging.getLogger("autobus")

RENEW_BEFORE = 30.0  # seconds before a token expires
CLOSE_TIME = 2.0


class Client(Protocol):
    """Who works over the connections."""

    def linked(self, conn: Connection) -> None: ...
    def unlinked(self, conn: Connection) -> None: ...
    def unreachable(self, why: Error) -> None: ...
    def heard(self, conn: Connection, frame: dict[str, Any]) -> None: ...


class Link:
    def __init__(self, config: Config, client: Client):
        self.config, self.client = config, client
        self.main: Connection | None = None
        self.why: Error = unreachable("the bus was not connected to yet")
        self._others: set[Connection] = set()  # of gateways that drain
        self._urls = config.addresses()
        self._at = 0
        self.up = asyncio.Event()     # there is a main connection
        self._closing = False
        self._gone = asyncio.Event()  # the main connection ended, or drains
        self._token = Token("")
        self._task = asyncio.create_task(self._keep())

    @property
    def ready(self) -> bool:
        return self.main is not None and not self.main.draining

    def heard(self, conn: Connection, frame: dict[str, Any]) -> None:
        if frame.get("op") == "drain":
            log.info("the gateway %s goes down, another connection is made", conn.instance)
            conn.draining = True
            if conn is self.main:
                self._gone.set()
            return
        self.client.heard(conn, frame)

    def broke(self, conn: Connection) -> None:
        self._others.discard(conn)
        if conn is self.main:
            self._gone.set()
            self.up.clear()
            self.main, self.why = None, unreachable("the connection was lost, another one is being made")
        self.client.unlinked(conn)

    async def close(self) -> None:
        self._closing = True
        self._gone.set()
        self._task.cancel()
        await asyncio.wait([self._task], timeout=CLOSE_TIME)
        conns = ([self.main] if self.main else []) + list(self._others)
        await asyncio.gather(*(c.close() for c in conns))

    async def _keep(self) -> None:
        failures = 0
        while not self._closing:  # some versions of asyncio lose a cancellation that meets what was waited for
            try:
                conn = await self._open()
            except Error as e:
                self.why = e
                self._at += 1
                log.warning("no connection to the bus: %s", e)
                self.client.unreachable(e)
            except Exception:
                log.exception("no connection to the bus")
                self._at += 1
            else:
                born = time.monotonic()
                if self._closing:
                    conn.cut()
                    return
                self._gone.clear()
                self.main = conn
                self.up.set()
                log.info("connected to the bus at %s, instance %s", conn.url, conn.instance)
                conn.start()
                self.client.linked(conn)
                await self._while_linked(conn)
                if conn.draining:
                    self._at += 1  # after a break it may be the same gateway, which remembers what was in flight
                if self.main is conn:
                    self.main = None
                    self._others.add(conn)
                if time.monotonic() - born > 2 * self.config.min_backoff:
                    failures = 0  # it was more than a gateway that hangs up at once
            await asyncio.sleep(self._pause(failures))
            failures += 1

    def _pause(self, failures: int) -> float:
        """A random time up to a bound that doubles, so that many clients do not come back all at once."""
        return random.uniform(0, min(self.config.max_backoff, self.config.min_backoff * 2 ** min(failures, 30)))

    async def _open(self) -> Connection:
        url = self._urls[self._at % len(self._urls)]
        for again in (True, False):
            if not self._token.value or self._expires_in() <= RENEW_BEFORE:
                await self._renew()
            try:
                return await (self.config.dial or dial)(self.config, url, self._token.value, self)
            except Error as e:
                if e.code != "unauthenticated" or not again or not callable(self.config.token):
                    raise
                self._token = Token("")
        raise AssertionError("unreachable")

    async def _while_linked(self, conn: Connection) -> None:
        """Until it is gone; a token that expires is replaced meanwhile."""
        while not self._gone.is_set():
            wait = None
            if self._token.expires is not None and callable(self.config.token):
                wait = max(1.0, self._expires_in() - RENEW_BEFORE)
            try:
                await asyncio.wait_for(self._gone.wait(), wait)
            except asyncio.TimeoutError:
                try:
                    await self._renew()
                    conn.send({"op": "auth", "token": self._token.value})
                except Error as e:
                    log.warning("the token could not be renewed: %s", e)

    def _expires_in(self) -> float:
        return float("inf") if self._token.expires is None else self._token.expires - time.time()

    async def _renew(self) -> None:
        try:
            self._token = await asyncio.get_running_loop().run_in_executor(None, self.config.current_token)
        except Exception as e:
            raise e if isinstance(e, Error) else unreachable(f"there is no token: {e}") from e
