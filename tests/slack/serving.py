"""The counterpart's HTTP: Web API calls, response URLs, the upgrade to a WebSocket, and faults."""

from __future__ import annotations

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from tests.slack.websocket import accept

if TYPE_CHECKING:
    from tests.slack.counterpart import Counterpart
    from tests.slack.records import Fault


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    counterpart: Counterpart

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are part of the tests; anything else is a bug of the counterpart."""
        del request, client_address
        error = sys.exception()
        if not isinstance(error, OSError):
            self.counterpart.refused.append(("counterpart", repr(error)))


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        slack = self.server.counterpart
        if not self.path.startswith("/api/"):
            self._send(slack.answer(self.path, json.loads(body)), b"ok")
            return
        method = self.path.removeprefix("/api/")
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        arguments = (
            json.loads(body or b"{}")
            if self.headers.get("Content-Type", "").startswith("application/json")
            else dict(parse_qsl(body.decode()))
        )
        fault = slack.fault_for(method)
        if fault is None:
            self._send(200, json.dumps(slack.call(method, token, arguments)).encode())
            return
        if fault.after:
            slack.call(method, token, arguments)
        self._fail(fault)

    def do_GET(self) -> None:
        if self.path.startswith("/link/") and self.headers.get("Upgrade") == "websocket":
            connection = accept(self.connection, self.rfile, self.headers["Sec-WebSocket-Key"])
            self.server.counterpart.connected(self.path, connection)
            self.close_connection = True
            return
        self._send(200, b"a page that nobody should have asked for")

    def _fail(self, fault: Fault) -> None:
        time.sleep(fault.wait)
        if fault.drop:
            self.close_connection = True
            self.connection.close()
            return
        if fault.drip:
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            for _ in range(1000):
                self.wfile.write(b" ")
                self.wfile.flush()
                time.sleep(0.5)
            return
        self._send(fault.status, fault.body, fault.headers)

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if not any(name.lower() == "content-type" for name in headers or {}):
            self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """Tests are quiet."""
