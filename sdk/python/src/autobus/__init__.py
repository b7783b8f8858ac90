# SPDX-License-Identifier: Apache-2.0
"""autobus: publish events, handle them, and ask other services, over the events bus.

    import autobus

    bus = autobus.Bus("http://localhost:7070")

    await bus.publish("orders.order.placed.v1", {"order_id": "o-1", "total": 10.5})

    @bus.subscribe("billing", types="orders.order.placed.v1")
    async def bill(order: autobus.Delivery) -> None:
        print(order.data["order_id"])

    await bus.run()

`autobus.sync.Bus` is the same without asyncio. It owns connections, what is in flight over them and what becomes of it
when they break, leases while handlers work, hooks and health. It refuses to know what is a valid event, who may do what
(the gateway says), and what the bus is built on.
"""

from . import asgi, http, sync, wsgi
from ._serve import Fault
from ._version import VERSION as __version__
from .bus import Bus, Replies
from .config import Token
from .errors import Error, Refused, ReplyError, Unknown
from .event import Delivery, Event, Reply, new_id
from .hooks import Hooks, LeaseLost
from .once import Once
from .outcome import Outcome, Reject, Retry, Skip
from .receipt import Receipt
from .settings import Batch

__all__ = ["Batch", "Bus", "Delivery", "Error", "Event", "Fault", "Hooks", "LeaseLost", "Once", "Outcome", "Receipt",
           "Refused", "Reject", "Replies", "Reply", "ReplyError", "Retry", "Skip", "Token", "Unknown", "__version__",
           "asgi", "http", "new_id", "sync", "wsgi"]
