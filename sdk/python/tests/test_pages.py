# SPDX-License-Identifier: Apache-2.0
"""The pages about this package, run from top to bottom as their reader would:

- `autobus dev` in a bash block starts the bus of the page, on a free port, which takes the place of localhost:7070;
- other bash blocks are run; <!-- fails --> above one says that it must;
- a block below <!-- file: NAME --> is written into that file;
- <!-- background: COMMAND --> runs that in place of the block, until the end of the page;
- a text block is what the block before printed; below <!-- prints: FILE -->, what a file holds in the end;
- <!-- not run: WHY --> and other languages are left alone.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import WAIT, eventually

HERE = Path(__file__).resolve().parents[1]
PAGES = [HERE / "README.md", HERE.parents[1] / "docs/tutorial/first-service-in-python.md"]
BLOCK = re.compile(r"(?ms)^(?:<!-- (file|background|prints|fails|not run)(?:: ([^\n]*))? -->\n)?```(\w+)\n(.*?)^```$")


class Page:
    def __init__(self, folder: Path):
        self.folder, self.port, self.output = folder, "", ""
        self.running: list[subprocess.Popen[str]] = []
        programs = folder / "programs"
        programs.mkdir()
        (programs / "autobus").symlink_to(os.environ["AUTOBUS_BIN"])
        path = f"{programs}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.env = {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1",
                    "PYTEST_PLUGINS": "autobus.pytest_plugin"}  # as if it had been installed

    def block(self, note: str, about: str, language: str, body: str) -> None:
        body = body.replace("localhost:7070", f"localhost:{self.port}") if self.port else body
        if note == "not run":
            return
        if note == "file":
            target = self.folder / about
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(body)
        elif note == "background":
            self.launch(["bash", "-c", about])
        elif note == "prints":
            file = self.folder / about
            eventually(f"{about} holds what the page says",
                       lambda: file.exists() and file.read_text().splitlines() == body.splitlines(), 2 * WAIT)
        elif language == "bash" and body.startswith("autobus dev"):
            p = self.launch([*body.split(), "--port", "0", "--kafka-port", "0", "-o", "json"])
            assert p.stdout is not None
            self.port = json.loads(p.stdout.readline())["api"].rpartition(":")[2]
        elif language == "bash":
            done = subprocess.run(["bash", "-euc", body], cwd=self.folder, env=self.env, text=True,
                                  capture_output=True, timeout=4 * WAIT)
            assert (done.returncode != 0) == (note == "fails"), f"{body}{done.stdout}{done.stderr}"
            self.output = done.stdout
        elif language == "text":
            assert self.output.splitlines() == body.splitlines()

    def launch(self, args: list[str]) -> subprocess.Popen[str]:
        p = subprocess.Popen(args, cwd=self.folder, env=self.env, text=True, stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, start_new_session=True)
        self.running.append(p)
        return p

    def end(self) -> None:
        for p in reversed(self.running):
            os.killpg(p.pid, signal.SIGTERM)
        for p in self.running:
            p.communicate(timeout=2 * WAIT)


@pytest.mark.parametrize("path", PAGES, ids=lambda p: str(p.name))
def test_page(path: Path, tmp_path: Path) -> None:
    if "AUTOBUS_BIN" not in os.environ:
        pytest.skip("AUTOBUS_BIN does not name the program autobus")
    blocks = BLOCK.findall(path.read_text(encoding="utf-8"))
    assert len(blocks) > 4
    page = Page(tmp_path)
    try:
        for block in blocks:
            page.block(*block)
    finally:
        page.end()


def test_examples_can_be_read() -> None:
    """The Python that is shown and not run is Python."""
    for path in PAGES:
        for note, _, language, body in BLOCK.findall(path.read_text(encoding="utf-8")):
            if language == "python" and note != "file":
                lines = "\n".join("    " + line for line in body.splitlines())
                compile(f"async def shown():\n{lines}\n", str(path), "exec")
