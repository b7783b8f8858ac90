# SPDX-License-Identifier: Apache-2.0
"""Which handler is for what: the subscriptions of a service, put together from its decorators."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, Iterable

from ._invoke import is_async
from .errors import error
from .event import Delivery
from .hooks import Hooks
from .settings import Settings, policy

Handler = Callable[..., Any]


@dataclass
class Registration:
    """One subscription. Several handlers may share it, each for types of its own."""

    name: str
    settings: Settings
    hooks: tuple[Hooks, ...]
    options: dict[str, Any]
    exists: bool = False  # it is not made here
    routes: list[tuple[list[str] | None, Handler]] = field(default_factory=list)

    @property
    def create(self) -> dict[str, Any] | None:
        if self.exists:
            return None
        types: list[str] = []
        for mine, _ in self.routes:
            types += [t for t in mine or () if t not in types]
        return policy(types or None, self.options)

    @property
    def handler(self) -> Handler:
        """The only handler, or one that chooses by the type."""
        if len(self.routes) == 1:
            return self.routes[0][1]
        if is_async(self.routes[0][1]):
            async def chosen_async(d: Delivery) -> Any:
                return await self._choose(d)(d)
            return chosen_async
        return lambda d: self._choose(d)(d)

    def _choose(self, d: Delivery) -> Handler:
        for types, handler in self.routes:
            if types is None or any(matches(t, d.type) for t in types):
                return handler
        raise LookupError(f"no handler of {self.name} is for {d.type}")


class Registry:
    def __init__(self) -> None:
        self.by_name: dict[str, Registration] = {}

    def add(self, name: str, types: str | Iterable[str] | None, options: dict[str, Any], settings: Settings,
            hooks: Iterable[Hooks], handler: Handler, create: bool = True) -> Registration:
        mine = [types] if isinstance(types, str) else None if types is None else list(types)
        given = {k: v for k, v in options.items() if v is not None}
        policy(mine if create else None, given)  # refuses what makes no sense where it is written
        complete = settings.complete()
        r = self.by_name.get(name)
        if r is None:
            r = self.by_name[name] = Registration(name, complete, tuple(hooks), given)
        elif r.settings.batch or complete.batch or mine is None or any(t is None for t, _ in r.routes):
            raise error("request_invalid", f"the subscription {name} has a handler already; several can share one if "
                        "each has types of its own and none takes batches")
        elif is_async(handler) != is_async(r.routes[0][1]):
            raise error("request_invalid", f"the handlers of {name} have to be all async, or none")
        else:
            r.options.update(given)
        r.exists = r.exists or not create
        r.routes.append((mine, handler))
        return r


def matches(pattern: str, type_: str) -> bool:
    """A segment * stands for one segment, as the last one for the rest."""
    want, have = pattern.split("."), type_.split(".")
    for i, segment in enumerate(want):
        if segment == "*" and i == len(want) - 1:
            return len(have) > i
        if i >= len(have) or segment not in ("*", have[i]):
            return False
    return len(have) == len(want)
