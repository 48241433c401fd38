"""From the commit of the deciding vote to the answer that the waiting enforcer gets.

There are never fewer than 1,000 held requests. One after the other is decided; each time the clock
runs from the commit in the service's process to the last byte at the client. The memory is what the
service's process grows by when the callers come to wait, divided by their number: sockets, parsers,
tasks and all.
"""

from __future__ import annotations

import asyncio
import json
import resource
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from benchmarks.result import Result
from benchmarks.servers import databases, free_port, running, until_open
from benchmarks.wire import Connection, connect, request

if TYPE_CHECKING:
    from subprocess import Popen

WAITERS = 1_000
DECIDED = 300
WAIT_SECONDS = 60
AIM_MS = 50.0
MEMORY_AIM_KIB = 100.0


@dataclass(frozen=True, slots=True)
class Measured:
    """How long each decision took to arrive, and the memory of one waiting caller."""

    milliseconds: list[float]
    bytes_each: float


class Held:
    """The service, commanded over its standard input."""

    def __init__(self, process: Popen[bytes]) -> None:
        self._process = process

    def line(self) -> str:
        """Read what it says next."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().decode()

    async def ask(self, command: str) -> int:
        """Give a command and return the number that it answers."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n".encode())
        self._process.stdin.flush()
        return int(await asyncio.to_thread(self.line))


def run() -> list[Result]:
    """Measure on both databases."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files[1], files[1]))
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as folder, databases(Path(folder)) as urls:
        for kind, url in urls.items():
            results += _measure(kind, url, Path(folder) / kind)
    return results


def _measure(kind: str, database: str, home: Path) -> list[Result]:
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.held", str(home), database]
    with running([*command, str(port), str(WAITERS + DECIDED)], piped=True) as process:
        held = Held(process)
        said = json.loads(held.line())
        until_open(port, process)
        found = uvloop.run(_decide(held, port, said["token"], said["ids"]))
    times = sorted(found.milliseconds)
    p50, p99 = statistics.median(times), times[int(len(times) * 0.99)]
    return [
        Result(
            f"committed vote to the waiting enforcer's answer, p99, {WAITERS:,} waiters, on {kind}",
            p99,
            "ms",
            AIM_MS,
            at_least=False,
            detail=f"median {p50:.1f} ms, longest {times[-1]:.1f} ms, {len(times)} decisions",
        ),
        Result(
            f"memory of a waiting caller, on {kind}",
            found.bytes_each / 1024,
            "KiB",
            MEMORY_AIM_KIB,
            at_least=False,
            detail=f"{found.bytes_each * WAITERS / 2**20:.0f} MiB for {WAITERS:,}",
        ),
    ]


async def _decide(held: Held, port: int, token: str, ids: list[str]) -> Measured:
    # One round trip first, so that what is made once is not counted as the waiters' memory.
    first = await connect(port)
    await first.ask(request("GET", f"/v1/requests/{ids[0]}", port=port, token=token))
    first.close()
    before = await held.ask("memory")
    connections = [await connect(port) for _ in ids]
    waiting = [
        asyncio.ensure_future(_until_decided(connection, request_id, port, token))
        for connection, request_id in zip(connections, ids, strict=True)
    ]
    await _until_parked(first_wait=len(ids))
    after = await held.ask("memory")
    times = []
    for request_id, answer in zip(ids[:DECIDED], waiting, strict=False):
        committed = await held.ask(f"approve {request_id}")
        answered = await answer
        times.append((answered - committed) / 1e6)
    for answer in waiting[DECIDED:]:
        answer.cancel()
    for connection in connections:
        connection.close()
    return Measured(times, (after - before) / len(ids))


async def _until_parked(*, first_wait: int) -> None:
    """Give every caller the time to be known and parked: nothing is to be heard of it."""
    await asyncio.sleep(5 + first_wait / 200)


async def _until_decided(connection: Connection, request_id: str, port: int, token: str) -> int:
    """Wait, as often as it takes, and return the moment at which the decision was here."""
    path = f"/v1/requests/{request_id}?wait={WAIT_SECONDS}"
    message = request("GET", path, port=port, token=token)
    while True:
        answer = await connection.ask(message)
        now = time.monotonic_ns()
        assert answer.status == 200, answer
        if json.loads(answer.body)["state"] == "approved":
            return now
