"""Hosts to post to: real sockets on loopback, with or without TLS."""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator


@dataclass
class Host:
    """A host that answers each post with the next of its answers, the last one for ever."""

    answers: list[bytes]
    port: int = 0
    requests: list[bytes] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)

    @property
    def bodies(self) -> list[bytes]:
        """What was posted."""
        return [request.partition(b"\r\n\r\n")[2] for request in self.requests]

    def headers(self, number: int = 0) -> dict[str, str]:
        """A post's headers, their names in lower case."""
        head = self.requests[number].partition(b"\r\n\r\n")[0].decode()
        pairs = (line.partition(": ") for line in head.split("\r\n")[1:])
        return {name.lower(): value for name, _, value in pairs}


def answer(status: str = "204 No Content", *headers: str, body: bytes = b"") -> bytes:
    """An answer as it is sent."""
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


@contextlib.contextmanager
def host(
    *answers: bytes,
    address: str = "127.0.0.1",
    port: int = 0,
    tls: ssl.SSLContext | None = None,
    say: Callable[[socket.socket], object] | None = None,
) -> Iterator[Host]:
    """Run a host; with `say` it says what it wants after it heard the request."""
    here = Host(list(answers or [answer()]))
    if tls is not None:

        def named(_socket: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
            here.names.append(name)

        tls.sni_callback = named

    def serve(connection: socket.socket) -> None:
        with connection:
            connection.settimeout(20)
            with contextlib.suppress(OSError):
                secure = connection
                if tls is not None:
                    secure = tls.wrap_socket(connection, server_side=True)
                with secure:
                    here.requests.append(_request(secure))
                    if say is not None:
                        say(secure)
                    else:
                        said = here.answers
                        secure.sendall(said.pop(0) if len(said) > 1 else said[0])

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listening.accept()
                serve(connection)

    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listening = socket.create_server((address, port), family=family)
    here.port = listening.getsockname()[1]
    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield here
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(20)


def _request(connection: socket.socket) -> bytes:
    heard = b""
    while b"\r\n\r\n" not in heard:
        got = connection.recv(65_536)
        if not got:
            return heard
        heard += got
    head, _, body = heard.partition(b"\r\n\r\n")
    wanted = next(
        int(line.split(b":")[1])
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"content-length:")
    )
    while len(body) < wanted:
        got = connection.recv(65_536)
        if not got:
            break
        body += got
    return head + b"\r\n\r\n" + body
