# SPDX-License-Identifier: Apache-2.0
"""JSON as the bus has it: integers stay exact however long they are, and what is not JSON is refused."""

from __future__ import annotations

import json
from typing import Any

_DIGITS = 4000  # below the length at which Python refuses to read an integer at once


def loads(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return json.loads(text, parse_int=_long)  # says the same again if it was something else


def dumps(value: Any) -> str:
    """Raises TypeError or ValueError for what JSON has no form for, NaN and infinity included."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _long(digits: str) -> int:
    sign, digits = (-1, digits[1:]) if digits[0] == "-" else (1, digits)
    n = 0
    for i in range(0, len(digits), _DIGITS):
        part = digits[i:i + _DIGITS]
        n = n * 10 ** len(part) + int(part)
    return sign * n
