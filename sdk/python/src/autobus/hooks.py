# SPDX-License-Identifier: Apache-2.0
"""Hooks around the work on events and around publishing, for traces, metrics and the like."""

from __future__ import annotations

import inspect
import logging
from typing import Any, Callable, Iterable, Sequence

from .errors import Error
from .event import Delivery, Event
from .outcome import Outcome, Verdict
from .receipt import Receipt

log = logging.getLogger("autobus")


class Hooks:
    """Inherit from it and define those that you need. They run where the handler runs, so they should not wait; beside
    an `async def` handler they may be `async def` too.

    The order is fixed: before, the handler, error, retry, after. Of several Hooks, the first one's `before` comes
    first, and its error, retry and after come last of their kind. One that fails is logged and changes nothing, but for
    what is said on purpose: `before` may raise Retry, Skip or Reject, and then the handler is not called;
    `before_publish` may raise Error, and then the event is refused."""

    def before(self, delivery: Delivery) -> Any:
        """Before the handler; may change the delivery, and keep things in its `state`."""

    def error(self, delivery: Delivery, exc: BaseException) -> Any:
        """The handler failed, or its outcome did not count (LeaseLost)."""

    def retry(self, delivery: Delivery, outcome: Outcome) -> Any:
        """The event will be asked for again."""

    def after(self, delivery: Delivery, outcome: Outcome) -> Any:
        """After every handler. The outcome is about to be told; its kind is empty when nothing will be."""

    def before_publish(self, event: Event) -> None:
        """May change the event: set a trace context, for example. Never async: it runs before publish waits."""

    def after_publish(self, event: Event, receipt: Receipt) -> None:
        """What became of it."""


class LeaseLost(Exception):
    """The event is somebody else's now; what the handler does is told to nobody."""

    def __str__(self) -> str:
        return self.args[0] if self.args else "the event is somebody else's now"


class Chain:
    """Several Hooks in their order."""

    def __init__(self, hooks: Iterable[Hooks]):
        self.hooks: Sequence[Hooks] = tuple(hooks)

    def calls(self, name: str, *args: Any) -> list[Callable[[], Any]]:
        """What to call, leaving out what nobody defined."""
        base = getattr(Hooks, name)
        order = self.hooks if name.startswith("before") else tuple(reversed(self.hooks))
        return [_bind(getattr(h, name), args) for h in order if getattr(type(h), name, None) is not base]

    def run(self, name: str, *args: Any) -> None:
        """Raises only what `before` says on purpose."""
        for call in self.calls(name, *args):
            try:
                made = call()
                if inspect.iscoroutine(made):
                    made.close()
                    raise TypeError(f"the hook {name} is async, but what it belongs to is not")
            except Exception as e:
                _failed(name, e)

    async def run_async(self, name: str, *args: Any) -> None:
        for call in self.calls(name, *args):
            try:
                made = call()
                if inspect.isawaitable(made):
                    await made
            except Exception as e:
                _failed(name, e)


def _bind(method: Callable[..., Any], args: tuple[Any, ...]) -> Callable[[], Any]:
    return lambda: method(*args)


def _failed(name: str, e: Exception) -> None:
    if name == "before" and isinstance(e, Verdict) or name == "before_publish" and isinstance(e, Error):
        raise e
    log.error("a hook failed", exc_info=e, extra={"hook": name})
