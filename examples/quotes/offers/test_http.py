# SPDX-License-Identifier: Apache-2.0
"""What every supplier answers to its clients, wherever BASE_URL leads."""

from __future__ import annotations

import hashlib

import httpx
import pytest

BINARY = bytes(range(256)) * 400 + b"\r\n\r\n\x00\r\n"
TRIP = {"origin": "JFK", "destination": "LHR", "passengers": 2}


def test_an_offer(client: httpx.Client) -> None:
    r = client.post("/offers", json=TRIP)
    offer = r.json()
    assert r.status_code == 201 and r.headers["location"] == "/offers/" + offer["id"]
    assert r.headers["x-supplier"] == offer["supplier"] and offer["price"] > 80_000


@pytest.mark.parametrize(("field", "value"), [("origin", "jfk"), ("destination", None), ("passengers", 0),
                                              ("passengers", "many")])
def test_a_trip_that_is_none(client: httpx.Client, field: str, value: object) -> None:
    r = client.post("/offers", json={**TRIP, field: value})
    assert r.status_code == 422 and r.json()["detail"][0]["loc"] == ["body", field]


def test_no_trip_at_all(client: httpx.Client) -> None:
    assert client.post("/offers", content=b"{", headers={"Content-Type": "application/json"}).status_code == 422
    assert client.post("/offers").status_code == 422


def test_what_is_not_there(client: httpx.Client) -> None:
    r = client.get("/offers/gone")
    assert r.status_code == 404 and r.headers["x-reason"] == "sold out" and r.json() == {"detail": "gone is over"}
    assert client.get("/elsewhere").json() == {"detail": "Not Found"}
    assert client.delete("/offers/x").status_code == 405


def test_queries(client: httpx.Client) -> None:
    r = client.get("/offers/%C3%84%201", params={"limit": "3"})
    assert r.status_code == 200 and (r.json()["id"], r.json()["limit"]) == ("Ä 1", 3)
    assert client.get("/offers/x", params={"limit": "few"}).status_code == 422


def test_binary_bodies(client: httpx.Client) -> None:
    r = client.get("/offers/x/ticket")
    assert r.content == bytes(reversed(range(256))) * 400 and r.headers["content-type"] == "application/pdf"
    sent = client.put("/offers/x/ticket", content=BINARY, headers={"Content-Type": "image/x-scan"})
    assert sent.content == BINARY[::-1] and sent.headers["content-type"] == "image/x-scan"
    assert sent.headers["x-digest"] == hashlib.sha256(BINARY).hexdigest()


def test_a_service_that_fails(client: httpx.Client) -> None:
    r = client.get("/broken", headers={"Connection": "close"})  # as the server does after this
    assert r.status_code == 500 and r.text == "Internal Server Error"
    assert client.get("/offers/x").status_code == 200


def test_the_description(client: httpx.Client) -> None:
    assert client.get("/openapi.json").json()["info"]["title"] == "offers"
    assert client.get("/docs").headers["content-type"] == "text/html; charset=utf-8"
