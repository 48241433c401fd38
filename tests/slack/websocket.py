"""The server's side of a WebSocket (RFC 6455): as much as Socket Mode needs."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import socket
import struct
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from io import BufferedIOBase

_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10


class Connection:
    """One connection after its handshake."""

    def __init__(self, to: socket.socket, received: BufferedIOBase) -> None:
        self._socket = to
        self._received = received
        self._lock = threading.Lock()

    def send(self, text: str) -> None:
        self._frame(_TEXT, text.encode())

    def receive(self) -> str | None:
        """The next text, or None once the client has gone; pings are answered."""
        while True:
            try:
                opcode, body = self._read()
            except (OSError, struct.error, ValueError):
                return None
            if opcode == _TEXT:
                return body.decode()
            if opcode == _CLOSE:
                return None
            if opcode == _PING:
                self._frame(_PONG, body)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._frame(_CLOSE, struct.pack("!H", 1000))
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _frame(self, opcode: int, body: bytes) -> None:
        size = len(body)
        if size < 126:
            head = bytes([0x80 | opcode, size])
        elif size < 65_536:
            head = bytes([0x80 | opcode, 126]) + struct.pack("!H", size)
        else:
            head = bytes([0x80 | opcode, 127]) + struct.pack("!Q", size)
        with self._lock:
            self._socket.sendall(head + body)

    def _read(self) -> tuple[int, bytes]:
        first, second = struct.unpack("!BB", self._received.read(2))
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", self._received.read(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", self._received.read(8))
        mask = self._received.read(4)  # a client always masks
        body = self._received.read(size)
        return first & 0x0F, bytes(byte ^ mask[at % 4] for at, byte in enumerate(body))


def accept(to: socket.socket, received: BufferedIOBase, key: str) -> Connection:
    """Answer the handshake."""
    digest = base64.b64encode(hashlib.sha1(key.encode() + _MAGIC).digest())  # noqa: S324 - RFC 6455
    to.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + digest + b"\r\n\r\n"
    )
    return Connection(to, received)
