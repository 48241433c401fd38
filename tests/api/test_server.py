"""The server below the parser: sizes and times of what a stranger sends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from fastapi import FastAPI
from starlette.responses import StreamingResponse

from approvals.api import protocol
from approvals.api.protocol import MAX_HEAD, BoundedProtocol
from approvals.config import load
from tests.api.running import TRANSFER, served
from tests.progress import PATIENCE, until
from tests.service import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.api.running import Running

HEAD = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with served(tmp_path_factory.mktemp("served") / "home") as company:
        yield company


@contextlib.contextmanager
def line(company: Running) -> Iterator[socket.socket]:
    port = int(company.url.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        yield connection


def ending(connection: socket.socket) -> bytes:
    """All that comes until the server closes the connection."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65_536):
            parts.append(part)
    return b"".join(parts)


def refusal(answer: bytes) -> tuple[int, str]:
    """Status and code of an answer that refuses, which is the only one and the last."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"\r\nconnection: close" in head
    assert b"\r\ncontent-type: application/problem+json" in head
    return int(head.split(b" ", 2)[1]), json.loads(body)["code"]


def flood(company: Running, first: bytes, more: bytes, *, most: int = 1_000) -> bytes:
    """Send `more` again and again until nothing more is taken; gives what was answered."""
    with line(company) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(first)
            for _ in range(most):
                connection.sendall(more)
            raise AssertionError("it took everything")
        return ending(connection)


def test_a_head_as_large_as_allowed_is_read_and_one_byte_more_is_not(running: Running) -> None:
    rest = b"\r\n\r\n"
    for extra, status in ((0, 200), (1, 431)):
        with line(running) as connection:
            filler = b"x: " + b"a" * (MAX_HEAD - len(HEAD) - len(rest) - 3 + extra)
            connection.sendall(HEAD + filler + rest)
            assert int(connection.recv(65_536).split(b" ", 2)[1]) == status


@pytest.mark.parametrize(
    ("first", "more", "expected"),
    [
        (HEAD, b"x-a: " + b"a" * 4_000 + b"\r\n", (431, "head_too_large")),
        (HEAD + b"x: ", b"a" * 65_536, (431, "head_too_large")),
        (b"GET /", b"a" * 65_536, (414, "uri_too_long")),
        (b"", b"\r\n" * 4_096, (431, "head_too_large")),
        (b"", b"a" * 65_536, (400, "not_http")),
    ],
)
def test_no_head_is_endless(
    running: Running, first: bytes, more: bytes, expected: tuple[int, str]
) -> None:
    with line(running) as connection:
        connection.sendall(first)
        with contextlib.suppress(ConnectionError):
            for _ in range(16):
                connection.sendall(more)
        assert refusal(ending(connection)) == expected


@pytest.mark.parametrize(
    ("body", "more"),
    [
        (b"1;", b"x" * 65_536),
        (b"1\r\na\r\n0\r\n", b"t: " + b"a" * 4_000 + b"\r\n"),
        (b"1\r\na\r\n0\r\nt: ", b"a" * 65_536),
    ],
    ids=["chunk extension", "trailers", "one trailer"],
)
def test_nothing_around_a_body_is_endless(running: Running, body: bytes, more: bytes) -> None:
    head = b"POST /v1/calls HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    # The Host is wrong, so the application answers at once; with the right one it waits.
    port = running.url.rsplit(":", 1)[1].encode()
    flood(running, head.replace(b"localhost", b"localhost:" + port) + body, more)
    flood(running, head + body, more)


def test_a_body_in_many_chunks_is_read(running: Running) -> None:
    port = running.url.rsplit(":", 1)[1]
    with line(running) as connection:
        connection.sendall(
            f"POST /signin/begin HTTP/1.1\r\nHost: localhost:{port}\r\nOrigin: {running.url}\r\n"
            "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        )
        for octet in b"{" + b" " * 9_000 + b"}":
            connection.sendall(b"1\r\n%c\r\n" % octet)
        connection.sendall(b"0\r\nt: a\r\n\r\n")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")


def test_a_head_that_does_not_end_is_given_up(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BoundedProtocol, "head_seconds", 0.2)
    with line(running) as connection:
        connection.sendall(HEAD)
        assert refusal(ending(connection)) == (408, "slow_head")
    with line(running) as connection:
        assert ending(connection) == b""  # nothing was asked
    with line(running) as connection:  # on a connection that is kept, each head has its time
        connection.sendall(HEAD + b"\r\n")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")
        connection.sendall(HEAD)
        assert refusal(ending(connection)) == (408, "slow_head")


def test_an_idle_connection_is_kept_beyond_the_time_of_a_head(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BoundedProtocol, "head_seconds", 0.1)
    with line(running) as connection:
        for _ in range(3):
            connection.sendall(HEAD + b"\r\n")
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")
            with line(running) as other:
                assert ending(other) == b""  # so long


def test_a_refusal_is_never_written_into_another_answer(running: Running) -> None:
    name = running.client().submit(TRANSFER, agent="billing-agent", user="uma").id
    port = running.url.rsplit(":", 1)[1]
    token = running.bearer()["Authorization"]
    with line(running) as connection:
        connection.sendall(
            f"GET /v1/requests/{name}?wait=30 HTTP/1.1\r\nHost: localhost:{port}\r\n"
            f"Authorization: {token}\r\n\r\n".encode()
        )
        until(lambda: running.app.state.api.waiting.parked == 1)
        connection.sendall(b"\x16\x03\x01 no request")
        assert ending(connection) == b""
    until(lambda: running.app.state.api.waiting.parked == 0)


def test_requests_that_queue_on_one_connection_are_few(running: Running) -> None:
    with line(running) as connection:
        connection.sendall((HEAD + b"\r\n") * 2_000)
        assert ending(connection).count(b"HTTP/1.1 200 ") <= protocol.PIPELINE + 2


def test_half_a_request_keeps_nobody_out(tmp_path: Path) -> None:
    with served(tmp_path / "home", max_connections=16) as company, contextlib.ExitStack() as lines:
        half = [lines.enter_context(line(company)) for _ in range(40)]
        for each in half:
            with contextlib.suppress(ConnectionError):
                each.sendall(HEAD)
        with line(company) as connection:
            connection.sendall(HEAD + b"\r\n")
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")
        assert ending(half[0]) == b""


def test_one_address_takes_its_share_of_connections(tmp_path: Path) -> None:
    with (
        served(tmp_path / "home", connections_per_address=2, trusted_proxies="none") as company,
        line(company) as first,
        line(company) as second,
    ):
        for each in (first, second):
            each.sendall(HEAD + b"\r\n")
            assert each.recv(65_536).startswith(b"HTTP/1.1 200 ")
        with line(company) as third:
            answer = ending(third)
        assert refusal(answer) == (503, "too_many_connections")
        assert b"\r\nretry-after: " in answer.lower()


def test_whoever_does_not_read_the_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoundedProtocol, "read_seconds", 0.2)
    app = FastAPI()
    app.state.leave = lambda: None
    app.state.api = SimpleNamespace(service=SimpleNamespace(settings=load()))
    ended = threading.Event()

    @app.get("/large")
    async def large() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield b"a" * 1_000_000
                    await asyncio.sleep(0)
            finally:
                ended.set()

        return StreamingResponse(parts())

    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        serving(app, listening),
        socket.create_connection(listening.getsockname(), timeout=PATIENCE) as connection,
    ):
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        assert ended.wait(PATIENCE)
