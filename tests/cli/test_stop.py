"""A service that is stopped: who waits is told at once, and another process answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx2
import pytest

from approvals.client import Approved, Client, mint_token
from tests.cli.conftest import free_port
from tests.progress import PATIENCE, until
from tests.service import ENFORCER, start

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.service import Running


@dataclass
class Process:
    """A process that serves."""

    process: subprocess.Popen[str]
    port: int

    def waiting(self) -> int:
        """How many callers wait in it for a decision."""
        told = httpx2.get(
            f"http://127.0.0.1:{self.port}/metrics", timeout=PATIENCE, trust_env=False
        ).text
        lines = [line for line in told.splitlines() if line.startswith("assent_waiting_callers ")]
        return int(float(lines[0].rsplit(" ", 1)[1]))

    def told(self) -> str:
        """All that it wrote, once it has ended."""
        assert self.process.stdout is not None
        return self.process.stdout.read()


PATIENT = """
import sys
from approvals.api.server import Server
from approvals.cli import main
Server.__init__.__kwdefaults__["grace"] = 3600.0
sys.exit(main())
"""
"""`assent`, but a process that is stopped in order waits an hour for what is unfinished."""


@contextlib.contextmanager
def process(
    company: Running, *, port: int, assent: tuple[str, ...] = ("-m", "approvals.cli")
) -> Iterator[Process]:
    """`assent serve` on the company's database and keys."""
    settings = company.service.settings
    with subprocess.Popen(  # noqa: S603 - our own interpreter
        [sys.executable, *assent, "serve", "--port", str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={
            **os.environ,
            "ASSENT_HOME": str(settings.home),
            "ASSENT_DATABASE": settings.database_url,
            "ASSENT_URL": settings.url,
            "ASSENT_METRICS": "loopback",
            "ASSENT_VIEW_SECONDS": "0",
        },
    ) as serving:
        assert serving.stdout is not None
        try:
            until(lambda: "Assent serves" in (serving.stdout.readline() if serving.stdout else ""))
            yield Process(serving, port)
        finally:
            serving.kill()


def ask(port: int, path: str, **headers: str) -> socket.socket:
    """Send a GET and leave the connection open."""
    line = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    lines = [f"{name}: {value}" for name, value in headers.items()]
    line.sendall("\r\n".join([f"GET {path} HTTP/1.1", *lines, "", ""]).encode())
    return line


def rest(line: socket.socket) -> bytes:
    """What comes until the server closes the connection."""
    parts = []
    with line:
        while part := line.recv(65_536):
            parts.append(part)
    return b"".join(parts)


@pytest.fixture
def company(tmp_path: Path, database_url: str) -> Iterator[Running]:
    running = start(tmp_path, database_url, people=("ada",), url=f"http://localhost:{free_port()}")
    yield running
    running.service.store.close()


def test_a_stop_answers_all_who_wait_and_ends_what_is_open(company: Running) -> None:
    settings = company.service.settings
    request_id = company.opened("10.00")
    token = mint_token(
        enforcer=ENFORCER, key=company.enforcer_jwk, audience=settings.url, now=_now(company)
    )
    host = settings.url.removeprefix("http://")
    company.service.store.close()  # one process serves an SQLite file
    with process(company, port=int(host.rsplit(":", 1)[1])) as served:
        path = f"/v1/requests/{request_id}?wait=55"
        held = [
            ask(served.port, path, Host=host, Authorization=f"Bearer {token}") for _ in range(3)
        ]
        stream = ask(served.port, "/live", Host=host, Cookie=f"assent={company.tokens['ada']}")
        assert stream.recv(65_536).startswith(b"HTTP/1.1 200 ")
        idle = socket.create_connection(("127.0.0.1", served.port), timeout=PATIENCE)
        until(lambda: served.waiting() == 3)
        served.process.send_signal(signal.SIGTERM)
        for line in held:
            head, _, body = rest(line).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 503 ")
            assert b"content-type: application/problem+json" in head
            assert b"retry-after: " in head
            assert json.loads(body)["code"] == "stopping"
        assert rest(stream).endswith(b"0\r\n\r\n")  # a whole answer, not one that broke off
        assert rest(idle) == b""
        served.process.wait(timeout=PATIENCE)
        told = served.told()
    assert "Traceback" not in told
    assert "error" not in told.lower()


def test_what_cannot_be_finished_in_time_is_answered_too(company: Running) -> None:
    company.service.store.close()
    host = company.service.settings.url.removeprefix("http://")
    with process(company, port=int(host.rsplit(":", 1)[1])) as served:
        half = socket.create_connection(("127.0.0.1", served.port), timeout=PATIENCE)
        half.sendall(
            f"POST /v1/calls HTTP/1.1\r\nHost: {host}\r\nContent-Length: 9\r\n\r\n[".encode()
        )
        httpx2.get(f"http://127.0.0.1:{served.port}/healthz", timeout=PATIENCE, trust_env=False)
        served.process.send_signal(signal.SIGTERM)
        head, _, body = rest(half).partition(b"\r\n\r\n")
        assert (head[:13], json.loads(body)["code"]) == (b"HTTP/1.1 503 ", "stopping")
        served.process.wait(timeout=PATIENCE)
        assert "Traceback" not in served.told()


def test_a_second_signal_ends_it_at_once(company: Running) -> None:
    company.service.store.close()
    host = company.service.settings.url.removeprefix("http://")
    port = int(host.rsplit(":", 1)[1])
    with process(company, port=port, assent=("-c", PATIENT)) as served:
        half = socket.create_connection(("127.0.0.1", served.port), timeout=PATIENCE)
        half.sendall(
            f"POST /v1/calls HTTP/1.1\r\nHost: {host}\r\nContent-Length: 9\r\n\r\n[".encode()
        )
        httpx2.get(f"http://127.0.0.1:{served.port}/healthz", timeout=PATIENCE, trust_env=False)
        served.process.send_signal(signal.SIGTERM)
        served.process.send_signal(signal.SIGINT)
        assert served.process.wait(timeout=PATIENCE) in {-signal.SIGTERM, -signal.SIGINT}
        with contextlib.suppress(ConnectionResetError):
            assert rest(half) == b""  # nothing waited for it


class Balancer:
    """Connects each caller to the first of several ports that takes the connection."""

    def __init__(self, port: int, behind: list[int]) -> None:
        self._port = port
        self._behind = behind

    async def serve(self, ready: asyncio.Event) -> None:
        """Run until cancelled."""
        async with await asyncio.start_server(self._connect, "127.0.0.1", self._port):
            ready.set()
            await asyncio.Event().wait()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for port in self._behind:
            with contextlib.suppress(OSError):
                there = await asyncio.open_connection("127.0.0.1", port)
                await asyncio.gather(_pipe(reader, there[1]), _pipe(there[0], writer))
                return
        writer.close()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while part := await reader.read(65_536):
            writer.write(part)
            await writer.drain()
    writer.close()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_wait_goes_on_at_the_next_replica(company: Running) -> None:
    """Two processes behind one address; the one that holds the caller is stopped."""
    settings = company.service.settings
    request_id = company.opened("10.00")
    ports = [free_port(), free_port()]

    async def balanced() -> object:
        ready = asyncio.Event()
        balancer = asyncio.ensure_future(
            Balancer(int(settings.url.rsplit(":", 1)[1]), ports).serve(ready)
        )
        await ready.wait()
        try:
            return await asyncio.to_thread(story)
        finally:
            balancer.cancel()

    def story() -> object:
        with (
            process(company, port=ports[0]) as first,
            process(company, port=ports[1]) as second,
            Client(settings.url, enforcer=ENFORCER, key=company.enforcer_jwk) as client,
            ThreadPoolExecutor(1) as pool,
        ):
            answer = pool.submit(client.wait, request_id, timeout=PATIENCE)
            until(lambda: first.waiting() == 1)
            assert second.waiting() == 0
            first.process.send_signal(signal.SIGTERM)
            until(lambda: second.waiting() == 1)
            first.process.wait(timeout=PATIENCE)
            company.decide("ada", request_id)
            return answer.result(timeout=PATIENCE)

    with ThreadPoolExecutor(1) as apart:  # a browser's driver leaves its loop in the tests' thread
        assert isinstance(apart.submit(asyncio.run, balanced()).result(), Approved)


def _now(company: Running) -> int:
    with company.service.store.read() as tx:
        return tx.now
