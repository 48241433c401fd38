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
from typing import TYPE_CHECKING, Any

import uvloop

from benchmarks.servers import databases, free_port, running, until_open
from benchmarks.wire import Connection, connect, request

if TYPE_CHECKING:
    from subprocess import Popen

WAITERS = 1_000
DECIDED = 300
WAIT_SECONDS = 60
PARKING_SECONDS = 50
AIM_MS = 50.0


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


def run() -> list[dict[str, Any]]:
    """Measure on both databases."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files[1], files[1]))
    results = []
    with tempfile.TemporaryDirectory() as folder, databases(Path(folder)) as urls:
        for kind, url in urls.items():
            results.append(_measure(kind, url, Path(folder) / kind))
    return results


def _measure(kind: str, database: str, home: Path) -> dict[str, Any]:
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.held", str(home), database]
    with running([*command, str(port), str(WAITERS + DECIDED)], piped=True) as process:
        held = Held(process)
        said = json.loads(held.line())
        until_open(port, process)
        found = uvloop.run(_decide(held, port, said["token"], said["ids"]))
    times = sorted(found.milliseconds)
    p99 = times[int(len(times) * 0.99)]
    return {
        "name": f"commit to the waiting enforcer's answer, {WAITERS:,} waiters, on {kind}",
        "value": round(p99, 2),
        "unit": "ms p99",
        "aim": f"<= {AIM_MS:g}",
        "meets": p99 <= AIM_MS,
        "median": round(statistics.median(times), 2),
        "longest": round(times[-1], 2),
        "decisions": len(times),
        "kib_each_waiter": round(found.bytes_each / 1024, 1),
    }


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
    await _until_parked(held, len(ids))
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


async def _until_parked(held: Held, callers: int) -> None:
    until = time.monotonic() + PARKING_SECONDS
    while await held.ask("parked") < callers:
        if time.monotonic() > until:
            raise TimeoutError("the callers were not all taken in")
        await asyncio.sleep(0.1)


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
