# SPDX-License-Identifier: Apache-2.0
"""The answers to the probes of a process that has no HTTP of its own."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from ._base import Base


class Health:
    """Serves /livez and /readyz in a thread, so that a loop which hangs is told of."""

    def __init__(self, bus: Base, address: str):
        host, _, port = address.rpartition(":")

        class Probe(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/livez":
                    bad = "" if bus.live() else "something hangs"
                elif self.path == "/readyz":
                    bad = bus.unready()
                else:
                    self.send_error(404)
                    return
                body = (bad or "ok").encode() + b"\n"
                self.send_response(503 if bad else 200)
                self.send_header("Content-Type", "text/plain; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer((host or "127.0.0.1", int(port)), Probe)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, name="autobus-health", daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
