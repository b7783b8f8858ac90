# SPDX-License-Identifier: Apache-2.0
"""From HTTP to the bus: the same suites three times, and every answer compared."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx

import autobus

from .house import HERE, House, check
from .load import BusClient, Calls, HTTPClient, one_after_the_other

SUPPLIERS = ("a", "b", "c")


@dataclass
class Move:
    """What was seen on the way."""

    house: House
    calls: int  # to measure
    answers: dict[str, list[str]] = field(default_factory=dict)  # by HTTP, of each service
    times: dict[str, Calls] = field(default_factory=dict)

    def over_http(self) -> dict[str, str]:
        """Gives the addresses of the services."""
        at = {"pricing": self.house.start_http("pricing", "pricing.app:app")}
        for s in SUPPLIERS:
            at[s] = self.house.start_http(s, "offers.app:app", SUPPLIER=s)
        self._suites("http", at)
        self.times["direct HTTP"] = one_after_the_other(HTTPClient(at["pricing"]), self.calls)
        return at

    def over_bridges(self, at: dict[str, str]) -> str:
        """Neither the services nor their clients are touched. Gives the address of the clients' bridge."""
        house = self.house
        for s, where in at.items():
            type_ = "pricing.http.call.v1" if s == "pricing" else f"offers.{s}.call.v1"
            group = "pricing" if s == "pricing" else f"offers-{s}"
            house.start(f"bridge-{s}", house.program, "bridge", "respond", type_, "--to", where, "-g", group)
        routes = [f for s in SUPPLIERS for f in ("--route", f"{s}=offers.{s}.call.v1")]
        house.start("bridge", house.program, "bridge", "call", "pricing.http.call.v1", "--listen", "127.0.0.1:0",
                    *routes)
        front = house.says("bridge", r"listening on (http://\S+)")
        for s in at:
            house.says(f"bridge-{s}", "^answering ")
        self._suites("bridge", {"pricing": front} | {s: f"http://{s}" for s in SUPPLIERS}, proxy=front)
        refusals(front)
        self.times["bridge"] = one_after_the_other(HTTPClient(front), self.calls)
        return front

    def over_adapters(self, at: dict[str, str], front: str) -> None:
        """Three more lines in each service, and no port that HTTP is served at."""
        house = self.house
        house.stop(*(f"bridge-{s}" for s in at), *at)
        for s, where in at.items():
            with socket.socket() as probe:
                address = urlsplit(where)
                check(probe.connect_ex((address.hostname, address.port)) != 0, f"{s} still listens at {where}")
        start_moved(house)
        self._suites("adapter", {"pricing": front} | {s: f"http://{s}" for s in SUPPLIERS}, proxy=front)
        self.times["adapter"] = one_after_the_other(HTTPClient(front), self.calls)
        with autobus.sync.Bus(house.bus, service="travel") as bus:
            self.times["adapter, no bridge"] = one_after_the_other(BusClient(bus), self.calls)

    def _suites(self, way: str, at: dict[str, str], proxy: str = "") -> None:
        """Runs both suites beside each other, that of offers against every supplier."""
        runs = {"pricing": Suite(self.house, way, "pricing", at["pricing"]),
                "offers": Suite(self.house, way, "offers", " ".join(at[s] for s in SUPPLIERS), proxy)}
        passed = {name: r.end() for name, r in runs.items()}
        print(f"pricing: {passed['pricing']} tests passed; offers: {passed['offers']}, by {' and '.join(SUPPLIERS)}")
        for name, r in runs.items():
            answers = r.record.read_text().splitlines()
            before = self.answers.setdefault(name, answers)
            check(answers == before, f"{name} answers otherwise by {way}: {difference(before, answers)}")
        if way != "http":
            n = sum(map(len, self.answers.values()))
            print(f"{n} answers are the same as by HTTP: status, headers, body")


def refusals(front: str) -> None:
    """What cannot pass is told with a code that programs can go by."""
    said = []
    with httpx.Client(base_url=front, trust_env=False) as client:
        for r in (client.get("/quotes/A", headers={"Connection": "upgrade", "Upgrade": "websocket"}),
                  client.put("/labels/A", content=bytes(1_000_000)),
                  client.get("/quotes/A", headers={"Host": "elsewhere.example.com"})):
            said.append(f"{r.status_code} {r.json()['reason']}")
    check(said == ["501 http_unsupported", "413 event_too_large", "403 forbidden"], f"the bridge says {said}")
    print(f"an upgrade, 1 MB, a host that is nobody's: {', '.join(said)}")


class Suite:
    """A run of pytest against addresses."""

    def __init__(self, house: House, way: str, tests: str, base: str, proxy: str = ""):
        self.house, self.name = house, f"suite-{way}-{tests}"
        self.record, self.report = house.work / f"{self.name}.answers", house.work / f"{self.name}.xml"
        env = {"http_proxy": proxy} if proxy else {}
        house.start(self.name, *pytest(self.report), f"{tests}/test_http.py", BASE_URL=base, RECORD=str(self.record),
                    **env)

    def end(self) -> int:
        """Waits for the end, and gives how many tests passed."""
        p = self.house.running.pop(self.name)
        try:
            status = p.wait(300)
        except subprocess.TimeoutExpired:
            p.kill()
            raise
        check(status == 0, f"the suite {self.name} is not green: {self.house.log(self.name)[-5000:]}")
        return len(durations(self.report))


def pytest(report: Path) -> list[str]:
    return [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "autobus.pytest_plugin", "--rootdir",
            str(HERE), f"--junitxml={report}", "-o", "junit_duration_report=call"]


def durations(report: Path) -> dict[str, float]:
    """Seconds of each test, without what was made ready for it."""
    cases = ElementTree.parse(report).getroot().iter("testcase")
    return {c.attrib["name"]: float(c.attrib["time"]) for c in cases if len(c) == 0}  # else it failed, or was skipped


def start_moved(house: House) -> None:
    """Starts the services with three more lines each, and says which."""
    moved = house.work / "moved"
    for s in ("pricing", "offers"):
        shutil.copytree(HERE / s, moved / s)
        subprocess.run(["git", "apply", str(HERE / s / "bus.patch")], cwd=moved, check=True)
        lines = re.findall(r"^\+(?!\+\+|$)(.*)", (HERE / s / "bus.patch").read_text(), re.MULTILINE)
        print(f"{s}: {len(lines)} lines more\n" + "\n".join(f"    {line}" for line in lines))
    house.start_worker("pricing", "pricing.app:bus", moved)
    for s in SUPPLIERS:
        house.start_worker(s, "offers.app:bus", moved, SUPPLIER=s)
    house.ready("pricing", *SUPPLIERS)


def difference(before: list[str], after: list[str]) -> str:
    """The first answers that differ."""
    for b, a in zip(before, after):
        if a != b:
            return f"\n {b}\n {a}"
    return json.dumps([len(before), len(after)])
