# SPDX-License-Identifier: Apache-2.0
"""The gateway in memory: frames in, frames out. Clients of several loops and threads may use one at the same time."""

from __future__ import annotations

import secrets
import threading
from datetime import datetime, timedelta, timezone
from typing import Any, Callable, Protocol

from .. import _json
from ..event import rfc3339
from .log import Log, Plan, Refusal
from .queue import Queue

LIMITS = {"frame_bytes": 8454144, "batch_events": 1000, "publish_frames": 64, "ack_results": 10000}


class Peer(Protocol):
    """One connection of a client."""

    def put(self, frame: dict[str, Any]) -> None:
        """Sends a frame, from any thread."""

    def cut(self) -> None:
        """Ends the connection without a word."""


class Gateway:
    def __init__(self, check: Callable[[dict[str, Any]], None] = lambda event: None, ack_wait: float = 30.0):
        self.changed = threading.Condition()  # guards everything
        self.log = Log(check)
        self.ack_wait = ack_wait
        self.queues: dict[str, Queue] = {}
        self.plans: list[Plan] = []
        self.peers: list[Peer] = []
        self.frames: list[dict[str, Any]] = []  # all that clients sent
        self._inboxes: dict[tuple[Peer, int], str] = {}  # to addresses
        self._replies: dict[str, list[dict[str, Any]]] = {}  # by address

    def connect(self, peer: Peer) -> None:
        with self.changed:
            self.peers.append(peer)
            peer.put({"op": "hello", "server": "autobus/test", "instance": "test", "limits": LIMITS})
            self.changed.notify_all()

    def gone(self, peer: Peer) -> None:
        with self.changed:
            if peer in self.peers:
                self.peers.remove(peer)
            self._inboxes = {at: a for at, a in self._inboxes.items() if at[0] is not peer}
            for q in self.queues.values():
                q.left(peer)
            self._deliver()

    def take(self, peer: Peer, text: str | bytes) -> None:
        """Does what a frame says."""
        with self.changed:
            try:
                frame = _json.loads(text)
                op = getattr(self, "_op_" + str(frame["op"]))
            except (ValueError, KeyError, TypeError, AttributeError):
                peer.put({"op": "error", "error": {"reason": "frame_invalid", "code": "invalid_argument",
                                                   "detail": "the frame cannot be read"}})
                return
            self.frames.append(frame)
            try:
                op(peer, frame)
            except Refusal as r:
                peer.put({"op": "error", "seq": frame.get("seq"), "error": r.problem})
            self._deliver()

    def drain(self, peer: Peer) -> None:
        with self.changed:
            peer.put({"op": "drain", "deadline": rfc3339(datetime.now(timezone.utc) + timedelta(seconds=5))})

    def revoke(self, subscription: str, lease: str) -> None:
        """Takes a lease away and tells so; the event comes again."""
        with self.changed:
            q = self.queues[subscription]
            if (slot := q.take_back(lease)) is not None:
                for peer in q.windows:
                    peer.put({"op": "revoke", "subscription": subscription, "leases": [lease]})
                del slot
            self._deliver()

    def _op_publish(self, peer: Peer, frame: dict[str, Any]) -> None:
        if any(self._planned("lose_request", e) for e in frame["events"]):
            peer.cut()
            return
        results = [self._publish(i, e) for i, e in enumerate(frame["events"])]
        if any(self._planned("lose_answer", e) for e in frame["events"]):
            peer.cut()
            return
        peer.put({"op": "published", "seq": frame["seq"], "results": results})

    def _publish(self, index: int, event: dict[str, Any]) -> dict[str, Any]:
        result: dict[str, Any] = {"index": index, "id": event.get("id"), "type": event.get("type")}
        if (plan := self._planned("refuse", event)) is not None:
            return {**result, "status": "refused", "error": plan.problem}
        try:
            if "replyto" in event:
                result["responders"] = self._responders(event)
            written, duplicate = self.log.append(event)
        except Refusal as r:
            return {**result, "status": "refused", "error": r.problem}
        if not duplicate:
            self._hand_on(written)
        if self._planned("unknown", event) is not None:
            return {**result, "status": "unknown", "error": {"reason": "outcome_unknown", "retriable": True}}
        return {**result, "status": "written", **({"duplicate": True} if duplicate else {})}

    def _hand_on(self, event: dict[str, Any]) -> None:
        if self.log.is_reply(event):
            self._replies.setdefault(event["to"], []).append({k: v for k, v in event.items() if k != "to"})
            for (peer, seq), address in self._inboxes.items():
                if address == event["to"]:
                    peer.put({"op": "events", "seq": seq, "deliveries": [{"event": self._replies[address][-1]}]})
            return
        for q in self.queues.values():
            q.offer(event)

    def _responders(self, event: dict[str, Any]) -> list[str]:
        if event["replyto"] not in self._inboxes.values():
            raise Refusal("reply_address_invalid", "the bus never gave that reply address")
        names = [q.name for q in self.queues.values() if q.serves(event["type"])]
        if not names:
            raise Refusal("no_responder", f"no subscription serves {event['type']}", "unavailable", retriable=True)
        return names

    def _planned(self, what: str, event: dict[str, Any]) -> Plan | None:
        for p in self.plans:
            if p.what == what and p.left > 0 and p.when(event):
                p.left -= 1
                return p
        return None

    def _op_subscribe(self, peer: Peer, frame: dict[str, Any]) -> None:
        name, create = frame["subscription"], frame.get("create")
        q = self.queues.get(name)
        if q is None and create is None:
            raise Refusal("subscription_unknown", f"there is no subscription {name}", "not_found")
        if q is not None and create is not None and q.policy != create:
            raise Refusal("subscription_exists", f"{name} exists with another policy", "already_exists")
        if q is None:
            q = self.queues[name] = Queue(name, create or {}, self.ack_wait, self.log.events)
        if peer in q.windows:
            raise Refusal("request_invalid", f"the connection has the subscription {name} already")
        q.windows[peer] = (frame.get("window") or {}).get("events", 100)
        peer.put({"op": "subscribed", "seq": frame["seq"], "subscription": name})

    def _op_window(self, peer: Peer, frame: dict[str, Any]) -> None:
        q = self.queues[frame["subscription"]]
        if peer in q.windows:
            q.windows[peer] = frame["window"]["events"]

    def _op_unsubscribe(self, peer: Peer, frame: dict[str, Any]) -> None:
        if "subscription" not in frame:
            self._inboxes.pop((peer, frame["seq"]), None)
            peer.put({"op": "unsubscribed", "seq": frame["seq"]})
            return
        self.queues[frame["subscription"]].left(peer)
        peer.put({"op": "unsubscribed", "seq": frame["seq"], "subscription": frame["subscription"]})

    def _op_ack(self, peer: Peer, frame: dict[str, Any]) -> None:
        bad = []
        for i, r in enumerate(frame["results"]):
            status = next((s for s in (q.settle(r) for q in self.queues.values()
                                       if str(r["lease"]).startswith(q.name + "-")) if s is not None), "unknown")
            if status:
                bad.append({"index": i, "lease": r["lease"], "status": status})
        if "seq" in frame:
            peer.put({"op": "acked", "seq": frame["seq"], **({"results": bad} if bad else {})})
        elif bad:
            peer.put({"op": "stale", "leases": [r["lease"] for r in bad]})

    def _op_inbox(self, peer: Peer, frame: dict[str, Any]) -> None:
        address = frame.get("address") or secrets.token_urlsafe(16)
        self._inboxes[peer, frame["seq"]] = address
        peer.put({"op": "inbox", "seq": frame["seq"], "address": address})
        for reply in self._replies.get(address, ()):
            peer.put({"op": "events", "seq": frame["seq"], "deliveries": [{"event": reply}]})

    def _op_auth(self, peer: Peer, frame: dict[str, Any]) -> None:
        pass

    def _deliver(self) -> None:
        for q in self.queues.values():
            for peer in list(q.windows):
                if deliveries := q.next_for(peer):
                    peer.put({"op": "events", "subscription": q.name, "deliveries": deliveries})
        self.changed.notify_all()
