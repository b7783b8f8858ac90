# SPDX-License-Identifier: Apache-2.0
"""What there was no HTTP for: work for a service that is down, questions to all, answers that come late."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sqlite3
import time
from pathlib import Path

import httpx

import autobus

from .house import HERE, House, check, until
from .load import Rate
from .move import SUPPLIERS

TRIP = {"origin": "JFK", "destination": "LHR", "passengers": 2}
SERVERS = ("pricing", "pricing-2", "pricing-3")


def while_the_server_is_down(house: House, seconds: float, count: int) -> None:
    """Bookings are taken while nobody works on them, and are made once each."""
    table, url = house.work / "bookings.db", f"{house.bus}/v1/requests/pricing.booking.place.v1?replies=0"
    start_desk(house)
    with httpx.Client() as client:
        began, times = time.monotonic(), []

        def book(name: str) -> None:
            sent = time.perf_counter()
            r = client.post(url, json={"sku": "A", "quantity": 1}, headers={"ce-id": name})
            times.append(time.perf_counter() - sent)
            check(r.status_code == 202, f"a booking was answered by {r.status_code}: {r.text}")
        book("b-first")
        until("the first booking is made", lambda: booked(table) == [1])
        house.stop("desk")
        times.clear()
        for n in range(count):
            book(f"b-{n}")
        book("b-0")  # sent again, as by a client that lost the answer
        time.sleep(max(0.0, seconds - (time.monotonic() - began)))
        check(booked(table) == [1], "a booking was made without the server")
    down = f"{seconds:.0f} s" if seconds else "a moment"
    print(f"{count} bookings taken by 202 while the server was down, the slowest in {1000 * max(times):.1f} ms; "
          f"it is away for {down}")
    start_desk(house)
    until("the bookings are made", lambda: len(booked(table)) == count + 1)
    house.stop("desk")  # by then it has told what it did
    check(booked(table) == [1] * (count + 1), f"bookings were made so often: {booked(table)}")
    print(f"back: {count} bookings made, each handled once")


def start_desk(house: House, **env: str) -> None:
    house.start_worker("desk", "pricing.desk:bus", BOOKINGS=str(house.work / "bookings.db"), **env)
    house.ready("desk")


def booked(table: Path) -> list[int]:
    """How often each booking was handled."""
    if not table.exists():
        return []
    with contextlib.closing(sqlite3.connect(table, timeout=30)) as db:
        try:
            return [n for (n,) in db.execute("SELECT handled FROM bookings")]
        except sqlite3.OperationalError:  # the table is about to be made
            return []


def three_suppliers(house: House, patience: float) -> None:
    """One question, answered by a, answered twice by b, and not by c."""
    moods = {"a": "", "b": "double", "c": "silent"}
    for s in SUPPLIERS:
        house.start_worker(f"find-{s}", "offers.finder:bus", SUPPLIER=s, MOOD=moods[s])
    house.ready(*(f"find-{s}" for s in SUPPLIERS))

    async def ask() -> None:
        async with autobus.Bus(house.bus, service="travel") as bus:
            await bus.connect()
            began = time.perf_counter()
            replies = await bus.requests("offers.offer.find.v1", TRIP, timeout=patience)
            async for r in replies:
                after = 1000 * (time.perf_counter() - began)
                print(f"{r.responder} wants {r.data['price'] / 100:.2f}, after {after:.0f} ms")
            print(f"after {patience:.0f} s: got {replies.got}, missing [{', '.join(replies.missing)}], "
                  f"duplicates {replies.duplicates}")

            hasty = await bus.requests("offers.offer.find.v1", TRIP, timeout=patience)
            async for r in hasty:
                print("asked again, the first one will do: the others are not waited for")
                break
            await hasty.close()
    asyncio.run(ask())
    house.stop(*(f"find-{s}" for s in SUPPLIERS))


def longer_than_the_caller_waits(house: House, seconds: float) -> None:
    """The caller waits for 2 s and the work takes longer: the answer is fetched where the 504 says."""
    over = house.work / "forecast.over"
    start_desk(house, FORECAST_OVER=str(over))
    with httpx.Client(base_url=house.bus, timeout=60) as client:
        began = time.monotonic()
        r = client.post("/v1/requests/pricing.forecast.make.v1?timeout=2s", json={"sku": "A", "days": 7})
        waited = time.monotonic() - began
        check(r.status_code == 504 and r.json()["reason"] == "reply_timeout" and "location" in r.headers,
              f"it was answered by {r.status_code} {r.text}")
        print(f"504 {r.json()['reason']} after {waited:.1f} s, Location: {r.headers['location'][:24]}...")
        time.sleep(max(0.0, seconds - (time.monotonic() - began)))
        over.touch()
        r = client.get(r.headers["location"], params={"wait": "30s"})
        check(r.status_code == 200, f"the answer did not come: {r.status_code} {r.text}")
        print(f"200 {r.text.strip()} from there, once the work was over")


def rolling_restart(house: House, front: str, rate: float) -> None:
    """Three servers are replaced one after the other under load, by SIGTERM, then one is killed, and no call fails."""
    moved = house.work / "moved"
    for name in SERVERS[1:]:  # the first one runs
        house.start_worker(name, "pricing.app:bus", moved)
    house.ready(*SERVERS)
    load = Rate(front, rate)

    def go_on(calls: int) -> None:
        before = len(load)
        until("calls go on", lambda: len(load) >= before + calls)
    for name in SERVERS:
        go_on(int(rate))
        house.stop(name)
        go_on(int(rate) // 2)  # with two of them
        house.start_worker(name, "pricing.app:bus", moved)
        house.ready(name)
    go_on(int(rate))
    house.stop(SERVERS[0], how=signal.SIGKILL)  # what it had begun is begun anew by the others
    go_on(int(rate))
    calls = load.stop()
    check(not calls.failed and not calls.crossed, f"{calls}: {calls.failed[:3]}")
    print(f"3 servers replaced and one killed at {rate:.0f} calls a second: {calls}; "
          f"p50 {calls.share(0.5):.1f} ms, p99 {calls.share(0.99):.1f} ms")
    house.stop(*SERVERS[1:])


def probes(house: House) -> None:
    """A bus that is away makes services unready, and is no reason to start them anew."""
    house.stop("bus", how=signal.SIGKILL)
    began = time.monotonic()
    until("the desk is not ready", lambda: house.probe("desk", "/readyz") == 503)
    took = time.monotonic() - began
    check(house.probe("desk", "/livez") == 200, "the desk is not live without the bus")
    print(f"the bus is killed: /readyz 503 after {took:.1f} s, /livez 200")
    house.start_bus()
    house.ready("desk")
    print("the bus is back: /readyz 200, and the same process works on")
    house.stop("desk")


def words(house: House) -> None:
    """Nothing that services say or are written in speaks of what is behind the bus."""
    texts = {str(p.relative_to(HERE)): p.read_text() for s in ("pricing", "offers") for p in (HERE / s).glob("*.py")}
    texts |= {p.name: p.read_text(errors="replace") for p in house.work.glob("*.log") if not p.name.startswith("bus")}
    for name, text in texts.items():
        for word in ("kafka", "partition", "offset"):
            check(word not in text.lower(), f"{name} speaks of {word}")
    print(f"{len(texts)} sources and logs of services, clients and bridges: nothing of what is behind the bus")
