# SPDX-License-Identifier: Apache-2.0
"""The client of both suites. BASE_URL says where the service is, or where several are that have to do the same, by
spaces. RECORD names a file to which every exchange is noted, less what the HTTP server adds by itself, so that several
runs can be compared."""

from __future__ import annotations

import hashlib
import json
import os
from typing import Iterator

import httpx
import pytest

# Of a connection or of the server in front of the application, not of the answer.
SERVERS_OWN = {"connection", "content-length", "date", "keep-alive", "server", "transfer-encoding"}


def note(response: httpx.Response) -> None:
    body = response.read()
    fields = sorted(f"{k}: {v if k != 'allow' else sorted(v.split(', '))}" for k, v in response.headers.multi_items()
                    if k not in SERVERS_OWN)
    request = response.request
    line = json.dumps([request.method, request.url.raw_path.decode(), hashlib.sha256(request.content).hexdigest(),
                       response.status_code, fields, len(body), hashlib.sha256(body).hexdigest()])
    with open(os.environ["RECORD"], "a", encoding="utf-8") as f:
        f.write(line + "\n")


@pytest.fixture(scope="session", params=os.environ.get("BASE_URL", "").split())
def client(request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    hooks = {"response": [note]} if os.environ.get("RECORD") else {}
    with httpx.Client(base_url=request.param, timeout=30, event_hooks=hooks) as made:  # type: ignore[arg-type]
        yield made


@pytest.fixture(scope="session")
def autobus_specs() -> str:
    return os.path.join(os.path.dirname(__file__), "specs")
