# SPDX-License-Identifier: Apache-2.0
"""python -m autobus run app:bus: handles events in a process of its own, beside gunicorn, uvicorn or what else serves
the HTTP of a service."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import logging
import os
import sys
from typing import Any

from ._health import Health
from ._version import VERSION
from .bus import Bus
from .errors import Error
from .sync import Bus as SyncBus

FAILED, USAGE = 1, 2


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser(prog="python -m autobus", description="Handle events of the bus.")
    p.add_argument("--version", action="version", version=VERSION)
    run = p.add_subparsers(dest="command", required=True).add_parser(
        "run", help="run the handlers of a service until SIGTERM",
        description="Run the handlers of a Bus until SIGTERM or SIGINT: then what runs is finished, told to the bus, "
                    "and the process ends.")
    run.add_argument("target", metavar="MODULE:NAME", help="a Bus of either twin, or a function that makes one")
    run.add_argument("--health", metavar="[HOST:]PORT", help="answer /livez and /readyz there")
    run.add_argument("--log-level", default="INFO", type=str.upper, metavar="LEVEL",
                     choices=["DEBUG", "INFO", "WARNING", "ERROR"], help="DEBUG, INFO (default), WARNING or ERROR")
    args = p.parse_args(argv)
    logging.basicConfig(level=args.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        bus = load(args.target)
    except Usage as e:
        print(f"autobus: {e}", file=sys.stderr)
        return USAGE
    if not bus._registry.by_name:
        print(f"autobus: {args.target} has no handlers; is the module imported that has them?", file=sys.stderr)
        return USAGE
    health = None
    try:
        if args.health:
            health = Health(bus, args.health)
        if isinstance(bus, Bus):
            asyncio.run(_run(bus))
        else:
            with bus:
                bus.run()
    except (Error, OSError) as e:
        print(f"autobus: {e}", file=sys.stderr)
        return FAILED
    finally:
        if health is not None:
            health.close()
    return 0


async def _run(bus: Bus) -> None:
    async with bus:
        await bus.run()


class Usage(Exception):
    """What was asked for is not there."""


def load(target: str) -> Any:
    module, _, name = target.partition(":")
    sys.path.insert(0, os.getcwd())
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as e:
        if e.name is not None and (module == e.name or module.startswith(e.name + ".")):
            raise Usage(f"there is no module {module} here") from None
        raise
    for part in (name or "bus").split("."):
        found = getattr(found, part, None)
    if callable(found) and not isinstance(found, (Bus, SyncBus)):
        found = found()
    if not isinstance(found, (Bus, SyncBus)):
        raise Usage(f"{target} is no autobus.Bus")
    return found


if __name__ == "__main__":
    sys.exit(main())
