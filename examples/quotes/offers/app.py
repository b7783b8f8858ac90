# SPDX-License-Identifier: Apache-2.0
"""offers, a service of FastAPI: what a flight costs with one supplier, which SUPPLIER names; every supplier runs its
own. It knows nothing of a bus. SUPPLIER=a uvicorn offers.app:app serves it."""

from __future__ import annotations

import hashlib
import os
from contextlib import asynccontextmanager
from typing import Any, AsyncIterator

from fastapi import FastAPI, HTTPException, Request, Response
from pydantic import BaseModel, Field

SUPPLIER = os.environ.get("SUPPLIER", "a")
FARES = {"JFK-LHR": 40_000, "EWR-IAH": 15_000}  # cents


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    yield {"fares": FARES}  # what a service reads when it starts


app = FastAPI(title="offers", lifespan=lifespan)


class Trip(BaseModel):
    origin: str = Field(pattern="^[A-Z]{3}$")
    destination: str = Field(pattern="^[A-Z]{3}$")
    passengers: int = Field(ge=1, le=9)


def price(trip: Trip, fares: dict[str, int]) -> int:
    """Every supplier has another one."""
    fare = fares.get(f"{trip.origin}-{trip.destination}", 99_000)
    return (fare + 100 * ord(SUPPLIER[0])) * trip.passengers


@app.middleware("http")
async def who(request: Request, call_next: Any) -> Response:
    response: Response = await call_next(request)
    response.headers["X-Supplier"] = SUPPLIER
    return response


@app.post("/offers", status_code=201)
async def find(trip: Trip, request: Request, response: Response) -> dict[str, Any]:
    name = hashlib.sha256(trip.model_dump_json().encode()).hexdigest()[:8]
    response.headers["Location"] = f"/offers/{name}"
    return {"id": name, "supplier": SUPPLIER, "price": price(trip, request.state.fares)}


@app.get("/offers/{name}")
def show(name: str, limit: int = 10) -> dict[str, Any]:
    if name == "gone":
        raise HTTPException(404, f"{name} is over", {"X-Reason": "sold out"})
    return {"id": name, "supplier": SUPPLIER, "limit": limit}


@app.get("/offers/{name}/ticket")
def ticket(name: str) -> Response:
    """Every byte there is, many times over."""
    return Response(bytes(reversed(range(256))) * 400, media_type="application/pdf")


@app.put("/offers/{name}/ticket")
async def stamp(name: str, request: Request) -> Response:
    body = await request.body()
    return Response(body[::-1], media_type=request.headers.get("content-type"),
                    headers={"X-Digest": hashlib.sha256(body).hexdigest()})


@app.get("/broken")
def broken() -> None:
    raise ZeroDivisionError("somebody divided by nothing")
