# SPDX-License-Identifier: Apache-2.0
"""What the suppliers can do since they are on the bus: all of them answer one question.
SUPPLIER=a python -m autobus run offers.finder:bus lets one of them do so."""

from __future__ import annotations

import os
from typing import Any

import autobus

from .app import FARES, SUPPLIER, Trip, price

bus = autobus.Bus(service=f"offers-{SUPPLIER}")


@bus.serve("offers.offer.find.v1", subscription=SUPPLIER, create=False)
async def find(question: autobus.Delivery) -> dict[str, Any]:
    offer = {"supplier": SUPPLIER, "price": price(Trip(**question.data), FARES)}
    match os.environ.get("MOOD"):
        case "silent":
            raise autobus.Skip("it has nothing to say")
        case "double":  # as one does that died after its answer, and whose successor answers again
            await bus.publish(question.type + ".reply", offer, extensions={
                "to": question.reply_to, "causationid": question.id, "responder": SUPPLIER})
    return offer
