"""POST /v1/calls with an allow verdict against a bare FastAPI echo of the same body.

Both are served by one uvicorn worker with uvloop and httptools, and asked by 16 connections, in
turns: a machine that is busy for a while slows both. An answer counts only if it is a 200; at the
end the log is checked and every answer must be in it, so that nothing was won by answering before
it was durable.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import uvloop

from approvals.config import load
from approvals.core import jws
from approvals.core.history.events import CallAllowed
from approvals.core.history.leaves import parse_leaf
from approvals.keys import Keyring
from approvals.log import check, sequence
from approvals.store import open_store
from benchmarks.servers import databases, free_port, uvicorn
from benchmarks.wire import connect, request
from tests.service import ENFORCER, TARGET, start

if TYPE_CHECKING:
    from approvals.core.canonical import Json

CONNECTIONS = 16
ROUNDS = 3
SECONDS = 4.0
WARM_SECONDS = 1.0
BODY_BYTES = 1024
AIM = 0.15


@dataclass(frozen=True, slots=True)
class Load:
    """What one round came to: answers, answers a second, and the time one took."""

    answers: int
    rate: float
    median_ms: float


async def _load(port: int, message: bytes, seconds: float) -> Load:
    connections = [await connect(port) for _ in range(CONNECTIONS)]
    times: list[float] = []
    begun = time.perf_counter()

    async def keep_asking(number: int) -> None:
        while (asked := time.perf_counter()) < begun + seconds:
            answer = await connections[number].ask(message)
            if answer.status != 200:
                raise RuntimeError(f"answered {answer.status}: {answer.body[:300]!r}")
            times.append(time.perf_counter() - asked)

    try:
        await asyncio.gather(*(keep_asking(number) for number in range(CONNECTIONS)))
    finally:
        for connection in connections:
            connection.close()
    took = time.perf_counter() - begun
    return Load(len(times), len(times) / took, 1000 * statistics.median(times))


def load_for(port: int, message: bytes, seconds: float) -> Load:
    return uvloop.run(_load(port, message, seconds))


def call_body() -> bytes:
    """A submission of about 1 KB that policy allows by itself."""
    args: dict[str, Json] = {"account": "12345", "note": ""}
    value = {
        "call": {"target": TARGET, "tool": "balance", "args": args},
        "agent": "billing-agent",
        "user": "uma",
    }
    args["note"] = "n" * (BODY_BYTES - len(orjson.dumps(value)))
    return orjson.dumps(value)


def caller_token(key: jws.SigningKey, *, audience: str) -> str:
    """What the benchmark's enforcer is known by, for five minutes."""
    now = int(time.time())
    claims: dict[str, Json] = {
        "iss": ENFORCER,
        "sub": ENFORCER,
        "aud": audience,
        "iat": now,
        "exp": now + 300,
        "jti": "benchmark",
    }
    return jws.sign(claims, key=key, typ="JWT")


def run() -> list[dict[str, Any]]:
    """Measure on both databases."""
    body = call_body()
    results = []
    with (
        tempfile.TemporaryDirectory() as folder,
        databases(Path(folder)) as urls,
        uvicorn("benchmarks.echo:create_app", port=(echo_port := free_port())),
    ):
        echo = request("POST", "/echo", port=echo_port, body=body)
        load_for(echo_port, echo, WARM_SECONDS)
        for kind, url in urls.items():
            results.append(_measure(kind, url, Path(folder) / kind, echo_port, echo, body))
    return results


def _measure(  # noqa: PLR0917 - one step of `run`, not called from elsewhere
    kind: str, database: str, home: Path, echo_port: int, echo: bytes, body: bytes
) -> dict[str, Any]:
    port = free_port()
    url = f"http://localhost:{port}"
    company = start(home, database, people=(), url=url)
    company.service.store.close()
    environment = {
        "ASSENT_HOME": str(company.service.settings.home),
        "ASSENT_URL": url,
        "ASSENT_DATABASE": database,
    }
    answers = 0
    pairs: list[tuple[Load, Load]] = []
    with uvicorn("approvals.app:create_app", port=port, environment=environment):
        token = caller_token(company.enforcer_key, audience=url)
        submit = request("POST", "/v1/calls", port=port, token=token, body=body)
        answers += load_for(port, submit, WARM_SECONDS).answers
        for _ in range(ROUNDS):
            pairs.append((load_for(echo_port, echo, SECONDS), load_for(port, submit, SECONDS)))
            answers += pairs[-1][1].answers
        coroutine = request("POST", "/aecho", port=echo_port, body=body)
        beside = load_for(echo_port, coroutine, SECONDS)
    _check_all_logged(company.service.settings.home, database, answers)
    ratio = statistics.median(mine.rate / other.rate for other, mine in pairs)
    return {
        "name": f"POST /v1/calls, allowed, logged and signed, on {kind}, against a FastAPI echo",
        "ratio": round(ratio, 3),
        "aim": AIM,
        "meets": ratio >= AIM,
        "per_second": round(statistics.median(mine.rate for _, mine in pairs)),
        "echo_per_second": round(statistics.median(other.rate for other, _ in pairs)),
        "coroutine_echo_per_second": round(beside.rate),
        "median_milliseconds": round(statistics.median(mine.median_ms for _, mine in pairs), 1),
        "connections": CONNECTIONS,
        "answers_found_in_the_log": answers,
    }


def _check_all_logged(home: Path, database: str, answers: int) -> None:
    settings = load(home=home, database=database)
    keys = Keyring.open(home, now=0, create=False)
    store = open_store(settings.database_url, mac=keys.seal)
    try:
        while sequence(store, keys, now=int(time.time())):
            pass
        report = check(store, vkeys=[keys.vkey])
        with store.read() as tx:
            allowed = sum(
                isinstance(parse_leaf(leaf.leaf).event, CallAllowed)
                for start in range(0, report.size, 1000)
                for leaf in tx.log.leaves(start, min(start + 1000, report.size))
            )
    finally:
        store.close()
    assert report.ok, report.findings
    # One more than was counted may have been under way on each connection when a round ended.
    assert allowed >= answers, f"{answers - allowed} acknowledged calls are not in the log"
