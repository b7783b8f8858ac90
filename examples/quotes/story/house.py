# SPDX-License-Identifier: Apache-2.0
"""The processes of the story: the bus, its bridges, the services by HTTP and on the bus."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable

PATIENCE = 60.0  # seconds for what has to come; a machine may be busy
HERE = Path(__file__).resolve().parent.parent


class Failed(Exception):
    """The story cannot go on."""


def until(what: str, is_so: Callable[[], Any]) -> Any:
    """Waits for something that gives no sign when it comes."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if made := is_so():
            return made
        time.sleep(0.02)
    raise Failed(f"it does not come that {what}")


def check(so: object, what: str) -> None:
    if not so:
        raise Failed(what)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as s:
        return int(s.getsockname()[1])


class House:
    """What runs, by name. Leaving it ends everything."""

    def __init__(self, program: str, work: Path):
        self.program, self.work = program, work
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.ports: dict[str, int] = {}  # of the probes
        self.port = free_port()          # of the bus, the same after a restart
        own = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        self.env = own | {"AUTOBUS_SERVER": self.bus, "PYTHONPATH": os.environ["PYTHONPATH"]}

    def __enter__(self) -> House:
        return self

    def __exit__(self, *_: object) -> None:
        for p in self.running.values():
            p.terminate() if "gunicorn" in p.args else p.kill()  # type: ignore[operator] # that one has children
        for p in self.running.values():
            try:
                p.wait(10)
            except subprocess.TimeoutExpired:
                p.kill()

    @property
    def bus(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def log(self, name: str) -> str:
        return (self.work / f"{name}.log").read_text(errors="replace")

    def start(self, name: str, *command: str, cwd: Path = HERE, **env: str) -> None:
        with (self.work / f"{name}.log").open("wb") as log:
            self.running[name] = subprocess.Popen(command, cwd=cwd, env=self.env | env, stdout=log, stderr=log)

    def says(self, name: str, pattern: str) -> str:
        """Waits for a line of a process, and gives what the pattern's group found."""
        def look() -> str | None:
            if found := re.search(pattern, self.log(name), re.MULTILINE):
                return found[1] if found.re.groups else found[0]
            check(self.running[name].poll() is None, f"{name} ended: {self.log(name)[-3000:]}")
            return None
        return str(until(f"{name} says {pattern!r}", look))

    def stop(self, *names: str, how: int = signal.SIGTERM) -> None:
        """Ends processes, all at once, and waits for them. On SIGTERM they have to end well."""
        for name in names:
            self.running[name].send_signal(how)
        for name in names:
            p = self.running.pop(name)
            status = p.wait(PATIENCE)
            check(how == signal.SIGKILL or status in (0, -how), f"{name} ended with {status}: {self.log(name)[-3000:]}")

    # Who takes part.

    def start_bus(self) -> None:
        self.start("bus", self.program, "dev", "--no-demo", "--data", str(self.work / "data"), "--specs",
                   str(HERE / "specs"), "--port", str(self.port), "--kafka-port", "0")
        self.says("bus", r"^ *API  *http")

    def start_http(self, name: str, app: str, **env: str) -> str:
        """A service as it was: behind an HTTP server. Gives its address."""
        if app.startswith("pricing"):
            self.start(name, sys.executable, "-m", "gunicorn", "--bind", "127.0.0.1:0", "--threads", "8", app, **env)
            return self.says(name, r"Listening at: (http://\S+)")
        self.start(name, sys.executable, "-m", "uvicorn", "--port", "0", app, **env)
        return self.says(name, r"running on (http://\S+)")

    def start_worker(self, name: str, bus: str, cwd: Path = HERE, **env: str) -> None:
        """A service on the bus. It listens nowhere but for its probes."""
        self.ports[name] = free_port()
        path = os.pathsep.join(p for p in self.env["PYTHONPATH"].split(os.pathsep) if Path(p) != HERE)
        self.start(name, sys.executable, "-m", "autobus", "run", bus, "--health", str(self.ports[name]), cwd=cwd,
                   PYTHONPATH=path, **env)

    def ready(self, *names: str) -> None:
        for name in names:
            def look(name: str = name) -> bool:
                check(self.running[name].poll() is None, f"{name} ended: {self.log(name)[-3000:]}")
                return self.probe(name, "/readyz") == 200
            until(f"{name} is ready", look)

    def probe(self, name: str, path: str) -> int:
        """The status of a probe; 0 = there is no answer."""
        c = http.client.HTTPConnection("127.0.0.1", self.ports[name], timeout=5)
        try:
            c.request("GET", path)
            return c.getresponse().status
        except OSError:
            return 0
        finally:
            c.close()
