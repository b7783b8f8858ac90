# SPDX-License-Identifier: Apache-2.0
"""Which bus to talk to, and how."""

from __future__ import annotations

import os
import ssl as _ssl
from dataclasses import dataclass
from typing import Any, Callable, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from ._version import VERSION
from .errors import error

DEFAULT_URL = "http://localhost:7070"


class Token(NamedTuple):
    """Who the service is. `expires` is in seconds since 1970; None = it does not."""

    value: str
    expires: float | None = None


@dataclass(frozen=True)
class Config:
    """What a Bus was made with. See Bus for the meaning of each."""

    url: str = ""
    token: str | Callable[[], str | Token] | None = None
    service: str = ""
    version: str = ""
    ssl: _ssl.SSLContext | None = None
    resend_for: float = 30.0
    min_backoff: float = 0.1
    max_backoff: float = 10.0
    dial: Callable[..., Any] | None = None  # in place of the network, for tests

    def addresses(self) -> list[str]:
        """The WebSocket addresses to try, in turn."""
        text = self.url or os.environ.get("AUTOBUS_SERVER") or DEFAULT_URL
        return [_address(u.strip()) for u in text.split(",")]

    def current_token(self) -> Token:
        """May wait: a function may fetch it from somewhere."""
        given = self.token if self.token is not None else os.environ.get("AUTOBUS_TOKEN", "")
        token = given() if callable(given) else given
        return token if isinstance(token, Token) else Token(token)

    @property
    def user_agent(self) -> str:
        agent = f"autobus-python/{VERSION}"
        if self.service:
            agent = f"{self.service}/{self.version} {agent}" if self.version else f"{self.service} {agent}"
        return agent

    def check(self) -> None:
        self.addresses()
        if self.resend_for <= 0 or self.min_backoff < 0 or self.max_backoff < self.min_backoff:
            raise error("config_invalid", "resend_for has to be above 0, and min_backoff at most max_backoff")


def _address(text: str) -> str:
    u = urlsplit(text)
    scheme = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}.get(u.scheme)
    if scheme is None or not u.hostname:
        raise error("config_invalid", f"{text!r} is not the address of a bus, such as https://bus.example.com or "
                    f"{DEFAULT_URL}", hint="Set url, or AUTOBUS_SERVER.")
    return urlunsplit((scheme, u.netloc, u.path if u.path not in ("", "/") else "/v1/ws", u.query, ""))
