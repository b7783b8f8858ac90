# SPDX-License-Identifier: Apache-2.0
"""What became of a published event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

from .errors import Error, Refused, Unknown


@dataclass(frozen=True)
class Receipt:
    """`status` is written, refused or unknown; `error` says why it is not written. `duplicate`: it had been written
    before, under the same id. `responders` are the subscriptions that serve a request."""

    id: str
    type: str
    status: str
    duplicate: bool = False
    error: Error | None = None
    hint: str = ""
    responders: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return self.status == "written"

    def raise_for_status(self) -> Receipt:
        """Returns the receipt of a written event, else raises Refused or Unknown."""
        if self.error is not None:
            raise self.error
        return self


def from_wire(result: Mapping[str, Any], event_id: str, event_type: str) -> Receipt:
    status, problem = result.get("status", "unknown"), result.get("error")
    failed: Error | None = None
    if status == "refused":
        failed = Refused(problem or {"reason": "internal", "detail": "the bus does not say why"})
    elif status != "written":
        status = "unknown"
        failed = Unknown(problem or {"reason": "outcome_unknown", "code": "deadline_exceeded", "retriable": True,
                                     "detail": "the bus does not know yet"})
    return Receipt(result.get("id") or event_id, result.get("type") or event_type, status,
                   bool(result.get("duplicate")), failed, result.get("hint") or "",
                   tuple(result.get("responders") or ()))


def failed(event_id: str, event_type: str, why: Error) -> Receipt:
    return Receipt(event_id, event_type, "unknown" if isinstance(why, Unknown) else "refused", error=why)
