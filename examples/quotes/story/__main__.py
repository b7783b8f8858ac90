# SPDX-License-Identifier: Apache-2.0
"""python -m story --bin AUTOBUS --work FOLDER [--short]; run.sh does so."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
from pathlib import Path

from . import alone
from .house import HERE, Failed, House
from .move import Move, durations, pytest


def say(text: str) -> None:
    print(f"\n== {text}", flush=True)


def tell(house: House, short: bool) -> None:
    say("the specs")
    subprocess.run([house.program, "spec", "lint", str(HERE / "specs")], check=True, env=house.env)

    move = Move(house, 200 if short else 2000)
    say("HTTP: pricing by gunicorn, three suppliers by uvicorn")
    at = move.over_http()
    say("bridges: neither services nor clients are touched")
    house.start_bus()
    front = move.over_bridges(at)
    say("adapters: the services listen nowhere any more")
    move.over_adapters(at, front)
    say("side by side, one call after the other, in milliseconds")
    print(f"{'':20}{'p50':>10}{'p99':>10}")
    for way, calls in move.times.items():
        if calls.failed or calls.crossed:
            raise Failed(f"{way}: {calls} {calls.failed[:3]}")
        print(f"{way:20}{calls.share(0.5):10.2f}{calls.share(0.99):10.2f}")

    say("one-way: the server is down")
    alone.while_the_server_is_down(house, 0 if short else 30, 20)
    say("one question to three suppliers: one is silent, one answers twice")
    alone.three_suppliers(house, 3 if short else 5)
    say("work that takes longer than the caller waits")
    alone.longer_than_the_caller_waits(house, 0 if short else 10)
    say("a rolling restart")
    alone.rolling_restart(house, front, 50 if short else 200)
    say("the probes")
    alone.probes(house)
    say("unit tests by the bus in memory, data held against the specs")
    report = house.work / "unit.xml"
    subprocess.run([*pytest(report), "pricing/test_desk.py"], cwd=HERE, env=house.env, check=True,
                   stdout=subprocess.DEVNULL)
    times = durations(report)
    booking = 1000 * times["test_a_booking"]
    print(f"{len(times)} tests passed: hooks, spec, no booking twice; a booking in {booking:.0f} ms")
    say("the words of services")
    alone.words(house)
    say("all suites were green three times, and nothing was lost")


def main() -> int:
    p = argparse.ArgumentParser(prog="story")
    p.add_argument("--bin", required=True)
    p.add_argument("--work", required=True, type=Path)
    p.add_argument("--short", action="store_true")
    args = p.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what runs is ended
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    with House(args.bin, args.work) as house:
        try:
            tell(house, args.short)
        except (Failed, subprocess.CalledProcessError) as e:
            print(f"story: {e}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
