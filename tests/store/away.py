"""A network that can fail: a relay to a server, which can be silent, cut, or deaf to answers."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHUNK = 65_536


class Relay:
    """Passes bytes between clients and one server on this machine, until it is told otherwise.

    `silent` passes nothing on, in either direction, and closes nothing: as a network that swallows
    packets. `on_request` sees what a client sends before the server does; when it returns True the
    bytes are passed on and the answer never is: the connection is cut.
    """

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self.silent = threading.Event()
        self.on_request: Callable[[bytes], bool] | None = None
        self.cuts = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._go(self._accept)

    def cut(self) -> None:
        """Break every connection."""
        for each in tuple(self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Stop relaying."""
        self.silent.clear()
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.cut()
        for thread in self._threads:
            thread.join(5)
        for each in self._open:
            each.close()

    def _go(self, work: Callable[..., None], *args: object, **options: object) -> None:
        thread = threading.Thread(target=work, args=args, kwargs=options, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._server)
            except OSError:  # the server is down just now
                client.close()
                continue
            self._open += [client, server]
            answers, swallowed = threading.Event(), threading.Event()
            answers.set()
            self._go(self._forward, client, server, answers, swallowed, asks=True)
            self._go(self._forward, server, client, answers, swallowed, asks=False)

    def _forward(
        self,
        source: socket.socket,
        sink: socket.socket,
        answers: threading.Event,
        swallowed: threading.Event,
        *,
        asks: bool,
    ) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK):
                while self.silent.is_set():
                    if self._listening.fileno() < 0:
                        return
                    self.silent.wait(0.05)
                    threading.Event().wait(0.05)
                if asks and self.on_request is not None and self.on_request(data):
                    answers.clear()
                    sink.sendall(data)
                    if not self.silent.is_set():
                        swallowed.wait(10)  # the server has done it before anybody asks it
                    self.cuts += 1
                    source.shutdown(socket.SHUT_RDWR)
                    return  # the server goes on with what it was told
                if asks or answers.is_set():
                    sink.sendall(data)
                else:
                    swallowed.set()
        if asks and not answers.is_set():
            return
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def relayed(url: str) -> Iterator[tuple[Relay, str]]:
    """A relay before the PostgreSQL server of `url`, and the URL that goes through it."""
    head, _, tail = url.partition("@")
    address, _, database = tail.partition("/")
    host, _, port = address.partition(":")
    relay = Relay(host, int(port))
    try:
        yield relay, f"{head}@127.0.0.1:{relay.port}/{database}"
    finally:
        relay.close()
