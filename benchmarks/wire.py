"""An HTTP/1.1 client that costs as little as a client can, since it shares the cores.

It knows exactly what the measured servers answer: a status line, a Content-Length, a body, and a
connection that stays open. Anything else is an error, not a slow answer.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import cast

END = b"\r\n\r\n"
LENGTH = b"content-length: "


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    body: bytes


class Connection(asyncio.Protocol):
    """One kept-alive connection with one request under way at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._waiting: asyncio.Future[Answer] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport. uvloop's is no subclass of asyncio's, but does what it does."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(exc or ConnectionError("closed by the server"))

    def data_received(self, data: bytes) -> None:
        """Complete the answer once all of it is here."""
        self._received += data
        head = self._received.find(END)
        if head < 0:
            return
        headers = bytes(self._received[:head]).lower()
        at = headers.index(LENGTH) + len(LENGTH)
        length = int(headers[at:].partition(b"\r\n")[0])
        end = head + len(END) + length
        if len(self._received) < end or self._waiting is None:
            return
        body = bytes(self._received[head + len(END) : end])
        del self._received[:end]
        self._waiting.set_result(Answer(int(headers[9:12]), body))

    def ask(self, request: bytes) -> asyncio.Future[Answer]:
        """Send a request; the future is its answer."""
        assert self._transport is not None
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._waiting

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()


async def connect(port: int) -> Connection:
    _, connection = await asyncio.get_running_loop().create_connection(
        Connection, "127.0.0.1", port
    )
    return connection


def request(method: str, path: str, *, port: int, token: str = "", body: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"Host: localhost:{port}"]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body
