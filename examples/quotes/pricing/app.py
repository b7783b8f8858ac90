# SPDX-License-Identifier: Apache-2.0
"""pricing, a service of Flask as there are many: what things cost, their labels, and a few ways to fail. It knows
nothing of a bus. gunicorn pricing.app:app serves it."""

from __future__ import annotations

import hashlib
from typing import Any

from flask import Flask, Response, jsonify, redirect, request
from werkzeug.wrappers import Response as Answer

app = Flask(__name__)

PRICES = {"A": 700, "B": 1250, "Ä 1/2": 42}  # cents


@app.get("/quotes/<path:sku>")
def quote(sku: str) -> Answer:
    if sku not in PRICES:
        return problem(404, f"there is no {sku}")
    quantity = request.args.get("quantity", "1")
    if not quantity.isdecimal() or not 1 <= int(quantity) <= 1000:
        return problem(422, "quantity is a number from 1 to 1000")
    answer = jsonify(sku=sku, quantity=int(quantity), amount=PRICES[sku] * int(quantity))
    answer.set_etag(hashlib.sha256(answer.data).hexdigest()[:16])
    answer.headers["Cache-Control"] = "max-age=60"
    if "X-Nonce" in request.headers:
        answer.headers["X-Nonce"] = request.headers["X-Nonce"]
    return answer.make_conditional(request)


@app.post("/quotes")
def offer() -> Answer:
    wanted: Any = request.get_json()  # answers 400 and 415 by itself
    if not isinstance(wanted, dict) or wanted.get("sku") not in PRICES:
        return problem(422, "sku is one that there is")
    answer = jsonify(sku=wanted["sku"], amount=PRICES[wanted["sku"]])
    answer.status_code = 201
    answer.headers["Location"] = f"/quotes/{wanted['sku']}"
    answer.set_cookie("basket", wanted["sku"], httponly=True)
    answer.set_cookie("seen", "yes", path="/quotes")
    return answer


@app.delete("/quotes/<sku>")
def forget(sku: str) -> Answer:
    return Response(status=204)


@app.get("/labels/<sku>")
def label(sku: str) -> Answer:
    """Every byte there is, many times over."""
    answer = Response(bytes(range(256)) * 400, content_type="application/octet-stream")
    answer.headers["Content-Disposition"] = f'attachment; filename="{sku}.bin"'
    return answer


@app.put("/labels/<sku>")
def scan(sku: str) -> Answer:
    body = request.get_data()
    answer = Response(body[::-1], content_type=request.content_type or "application/octet-stream")
    answer.headers["X-Digest"] = hashlib.sha256(body).hexdigest()
    return answer


@app.get("/prices/<sku>")
def moved(sku: str) -> Answer:
    return redirect(f"/quotes/{sku}", 301)


@app.get("/broken")
def broken() -> Answer:
    raise ZeroDivisionError("somebody divided by nothing")


def problem(status: int, detail: str) -> Response:
    answer = jsonify(status=status, detail=detail)
    answer.status_code = status
    answer.content_type = "application/problem+json"
    return answer
