# SPDX-License-Identifier: Apache-2.0
"""python -m autobus run."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from conftest import WAIT, Served, eventually

APP = '''
import asyncio, os, time
import autobus

bus = autobus.{twin}(os.environ["BUS"], min_backoff=0, max_backoff=0.05)

def make():
    return bus

@bus.subscribe("billing", types="orders.order.placed.v1", start="earliest")
{handler}
'''
ASYNC = '''async def handle(d):
    open("begun", "w").close()
    while not os.path.exists("go"):
        await asyncio.sleep(0.01)
'''
PLAIN = '''def handle(d):
    open("begun", "w").close()
    while not os.path.exists("go"):
        time.sleep(0.01)
'''


def get(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=5) as r:
            return int(r.status)
    except urllib.error.HTTPError as e:
        return e.code
    except OSError:
        return 0


def run(folder: Path, url: str, *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-m", "autobus", "run", *args], cwd=folder, text=True,
                            env={**os.environ, "BUS": url}, stderr=subprocess.PIPE)


@pytest.mark.parametrize(("twin", "handler", "target"), [("Bus", ASYNC, "app:bus"), ("sync.Bus", PLAIN, "app:make")],
                         ids=["async", "plain"])
def test_it_ends_what_it_began(served: Served, tmp_path: Path, twin: str, handler: str, target: str) -> None:
    (tmp_path / "app.py").write_text(APP.format(twin=twin, handler=handler))
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = s.getsockname()[1]
    p = run(tmp_path, served.url, target, "--health", str(port))
    try:
        eventually("it is ready", lambda: get(f"http://127.0.0.1:{port}/readyz") == 200, 2 * WAIT)
        assert get(f"http://127.0.0.1:{port}/livez") == 200 and get(f"http://127.0.0.1:{port}/else") == 404
        queue: Any = served.gateway.queues["billing"]
        for n in (1, 2):
            served.gateway._publish(0, {"id": str(n), "type": "orders.order.placed.v1", "partitionkey": "k", "data": n})
        with served.gateway.changed:
            served.gateway._deliver()
        eventually("the handler begins", (tmp_path / "begun").exists)
        p.send_signal(signal.SIGTERM)
        eventually("it stops", lambda: any(f["op"] == "window" for f in served.gateway.frames))
        (tmp_path / "go").touch()
        assert p.wait(WAIT) == 0, p.stderr and p.stderr.read()
    finally:
        p.kill()
        p.communicate()
    assert [s.done for s in queue.slots] == ["ack", ""] and not queue.windows


@pytest.mark.parametrize(("target", "says"), [("nowhere:bus", "no module nowhere"), ("app:nothing", "no autobus.Bus"),
                                              ("empty:bus", "no handlers")], ids=repr)
def test_what_is_not_there(tmp_path: Path, target: str, says: str) -> None:
    (tmp_path / "app.py").write_text("")
    (tmp_path / "empty.py").write_text("import autobus\nbus = autobus.Bus()\n")
    p = run(tmp_path, "", target)
    _, err = p.communicate(timeout=2 * WAIT)
    assert p.returncode == 2 and says in err


def test_a_subscription_that_cannot_go_on_ends_it(served: Served, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text('import autobus, os\nbus = autobus.sync.Bus(os.environ["BUS"])\n'
                                     'bus.subscribe("nobody")(print)\n')
    p = run(tmp_path, served.url, "app")
    _, err = p.communicate(timeout=2 * WAIT)
    assert p.returncode == 1 and "subscription_unknown" in err
