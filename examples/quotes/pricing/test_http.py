# SPDX-License-Identifier: Apache-2.0
"""What pricing answers to its clients, wherever BASE_URL leads."""

from __future__ import annotations

import hashlib

import httpx
import pytest

BINARY = bytes(range(256)) * 400 + b"\r\n\r\n\x00\r\n"


def test_a_quote(client: httpx.Client) -> None:
    r = client.get("/quotes/A")
    assert r.status_code == 200 and r.json() == {"sku": "A", "quantity": 1, "amount": 700}
    assert r.headers["content-type"] == "application/json" and r.headers["cache-control"] == "max-age=60"
    again = client.get("/quotes/A", headers={"If-None-Match": r.headers["etag"]})
    assert again.status_code == 304 and again.content == b""


def test_names_and_queries_of_any_letters(client: httpx.Client) -> None:
    r = client.get("/quotes/%C3%84%201%2F2", params={"quantity": "3"})
    assert r.status_code == 200 and r.json() == {"sku": "Ä 1/2", "quantity": 3, "amount": 126}


def test_only_the_head(client: httpx.Client) -> None:
    whole = client.get("/labels/A")
    r = client.head("/labels/A")
    assert r.status_code == 200 and r.content == b""
    assert r.headers["content-length"] == str(len(whole.content)) == "102400"


def test_an_unknown_thing(client: httpx.Client) -> None:
    r = client.get("/quotes/Z")
    assert r.status_code == 404 and r.json() == {"status": 404, "detail": "there is no Z"}
    assert r.headers["content-type"] == "application/problem+json"
    assert client.get("/elsewhere").status_code == 404


@pytest.mark.parametrize("quantity", ["0", "1001", "many", "-1", ""])
def test_a_quantity_that_is_none(client: httpx.Client, quantity: str) -> None:
    r = client.get("/quotes/A", params={"quantity": quantity})
    assert r.status_code == 422 and r.json()["detail"] == "quantity is a number from 1 to 1000"


def test_making_a_quote(client: httpx.Client) -> None:
    r = client.post("/quotes", json={"sku": "B"})
    assert r.status_code == 201 and r.headers["location"] == "/quotes/B" and r.json()["amount"] == 1250
    assert r.headers.get_list("set-cookie") == ["basket=B; HttpOnly; Path=/", "seen=yes; Path=/quotes"]
    assert client.post("/quotes", json={"sku": "Z"}).status_code == 422
    assert client.post("/quotes", content=b"{", headers={"Content-Type": "application/json"}).status_code == 400
    assert client.post("/quotes", content=b"sku=B").status_code == 415


def test_methods(client: httpx.Client) -> None:
    assert client.delete("/quotes/A").status_code == 204
    r = client.put("/quotes/A", json={})
    assert r.status_code == 405 and set(r.headers["allow"].split(", ")) == {"DELETE", "GET", "HEAD", "OPTIONS"}
    moved = client.get("/prices/A")
    assert moved.status_code == 301 and moved.headers["location"] == "/quotes/A"


def test_binary_bodies(client: httpx.Client) -> None:
    r = client.get("/labels/A")
    assert r.content == bytes(range(256)) * 400 and r.headers["content-disposition"] == 'attachment; filename="A.bin"'
    sent = client.put("/labels/A", content=BINARY, headers={"Content-Type": "image/x-scan"})
    assert sent.content == BINARY[::-1] and sent.headers["content-type"] == "image/x-scan"
    assert sent.headers["x-digest"] == hashlib.sha256(BINARY).hexdigest()
    assert client.put("/labels/A", content=b"").headers["x-digest"] == hashlib.sha256(b"").hexdigest()


def test_a_service_that_fails(client: httpx.Client) -> None:
    r = client.get("/broken")
    assert r.status_code == 500 and "nothing" not in r.text and r.headers["content-type"].startswith("text/html")


def test_a_header_comes_back(client: httpx.Client) -> None:
    assert client.get("/quotes/A", headers={"X-Nonce": "n-1"}).headers["x-nonce"] == "n-1"
