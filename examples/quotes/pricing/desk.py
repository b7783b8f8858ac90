# SPDX-License-Identifier: Apache-2.0
"""What pricing can do since it is on the bus: bookings that nobody has to wait for, and forecasts that take their time.
python -m autobus run pricing.desk:bus works on them."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from pathlib import Path
from typing import Any, Iterator

import autobus

from .app import PRICES
from .watch import Watch

bus = autobus.sync.Bus(service="pricing", hooks=[Watch()])


@bus.serve("pricing.booking.place.v1", subscription="pricing-desk", create=False)
def place(command: autobus.Delivery) -> dict[str, Any]:
    """A command may come twice, when its worker died before it said that it was done. Its id makes it one booking."""
    amount = price_of(command) * command.data["quantity"]
    with bookings() as db:
        db.execute("INSERT INTO bookings VALUES (?, ?, 1) ON CONFLICT (id) DO UPDATE SET handled = handled + 1",
                   (command.id, amount))
    return {"booking": command.id, "amount": amount}


@bus.serve("pricing.forecast.make.v1", subscription="pricing-desk", create=False)
def forecast(command: autobus.Delivery) -> dict[str, Any]:
    amount = price_of(command) + command.data["days"]
    compute()
    return {"amount": amount}


def price_of(command: autobus.Delivery) -> int:
    sku = command.data["sku"]
    if sku not in PRICES:
        raise autobus.Fault("unknown", {"code": 404, "message": f"there is no {sku}"})
    return PRICES[sku]


@contextlib.contextmanager
def bookings() -> Iterator[sqlite3.Connection]:
    """The table of bookings, within a transaction."""
    with contextlib.closing(sqlite3.connect(os.environ.get("BOOKINGS", "bookings.db"), timeout=30, uri=True)) as db, db:
        db.execute("CREATE TABLE IF NOT EXISTS bookings (id TEXT PRIMARY KEY, amount INTEGER, handled INTEGER)")
        yield db


def compute() -> None:
    """Stands for work of unknown length: it is over when the file FORECAST_OVER is there."""
    over = os.environ.get("FORECAST_OVER")
    while over and not Path(over).exists():
        time.sleep(0.01)
