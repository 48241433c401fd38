"""The service is killed, without warning, again and again, while enforcers and people use it.

What was acknowledged must be there afterwards: decisions, approvals, receipts. And nothing may be
granted that is not in the log.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx2
import pytest

from approvals import log
from approvals.client import (
    Allowed,
    Approved,
    Client,
    Denied,
    Pending,
    ServiceAway,
    ServiceError,
)
from approvals.core.calls import ToolCall, call_hash
from approvals.core.events import parse_leaf
from tests.crash.processes import free_port, launcher
from tests.service import ENFORCER, TARGET, Running, start

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Executable

CLIENTS = 3
SEED = 20261120


@dataclass
class Acknowledged:
    """What the service said to its clients."""

    allowed: dict[str, str] = field(default_factory=dict)
    opened: set[str] = field(default_factory=set)
    votes: set[tuple[str, str, str]] = field(default_factory=set)
    approved: dict[str, str] = field(default_factory=dict)
    receipts: dict[str, str] = field(default_factory=dict)


@pytest.mark.slow
@pytest.mark.timeout(580)
@pytest.mark.parametrize(("kind", "kills"), [("sqlite_url", 200), ("postgres_url", 60)])
def test_nothing_acknowledged_is_lost(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, kills: int
) -> None:
    database = request.getfixturevalue(kind)
    port = free_port()
    url = f"http://localhost:{port}"
    running = start(tmp_path, database, url=url)
    running.service.store.close()
    told = Acknowledged()
    stop = threading.Event()
    clients = [
        threading.Thread(target=_use, args=(url, running, number, told, stop))
        for number in range(CLIENTS)
    ]
    moments = random.Random(SEED)  # noqa: S311 - moments to kill at, not secrets
    with launcher(
        "tests.crash.launcher", str(tmp_path / "assent"), database, url, str(port)
    ) as launch:
        for client in clients:
            client.start()
        try:
            for _ in range(kills):
                child = launch()
                _wait_until_it_listens(port)
                time.sleep(moments.uniform(0.0, 0.4))
                os.kill(child, signal.SIGKILL)
        finally:
            stop.set()
            for client in clients:
                client.join()
    assert min(len(told.allowed), len(told.votes), len(told.receipts)) > 5
    _check(running, database, told)


def _use(
    url: str, running: Running, number: int, told: Acknowledged, stop: threading.Event
) -> None:
    """Be an enforcer whose calls two people decide, as long as it goes on."""
    private = running.enforcer_jwk
    with Client(url, enforcer=ENFORCER, key=private) as client, httpx2.Client() as browser:
        turn = 0
        while not stop.is_set():
            # What was cut short is asked again: the same call finds its request.
            with contextlib.suppress(ServiceAway, ServiceError, httpx2.HTTPError):
                _read_a_balance(client, f"{number}-{turn}", told)
                _transfer(client, browser, url, running, 500 + number * 100_00 + turn, told)
                turn += 1


def _read_a_balance(client: Client, account: str, told: Acknowledged) -> None:
    answer = client.submit(
        ToolCall(TARGET, "balance", {"account": account}), agent="billing-agent", user="uma"
    )
    assert isinstance(answer, Allowed)
    told.allowed[answer.id] = answer.approval


def _transfer(  # noqa: PLR0917 - one story, told once
    client: Client,
    browser: httpx2.Client,
    url: str,
    running: Running,
    amount: int,
    told: Acknowledged,
) -> None:
    call = ToolCall(TARGET, "transfer", {"amount": f"{amount}.00", "to": "vendor@example.com"})
    answer = client.submit(call, agent="billing-agent", user="uma")
    assert isinstance(answer, Pending)
    told.opened.add(answer.id)
    for person in ("ada", "ben"):
        page = f"{url}/r/{answer.id}/decide"
        web = {"origin": url, "cookie": f"assent={running.tokens[person]}"}
        browser.post(f"{url}/r/{answer.id}/seen", json={}, headers=web)
        begun = browser.post(f"{page}/begin", json={"decision": "approve"}, headers=web)
        if begun.status_code != 200:
            continue
        options = begun.json()
        finished = browser.post(
            f"{page}/finish",
            json={
                "ceremony": options["ceremony"],
                "credential": running.passkeys[person].authenticate(options["options"]),
                "reason": "",
            },
            headers=web,
        )
        if finished.status_code == 200:
            told.votes.add((answer.id, person, "approve"))
    outcome = client.wait(answer.id, timeout=1)
    if isinstance(outcome, Approved):
        told.approved[answer.id] = outcome.token
        jti = "apr_" + answer.id[4:]
        use = f"use-of-{answer.id}"
        client.consume(jti, call_hash=call_hash(call), use_id=use)
        told.receipts[jti] = use
    else:
        assert not isinstance(outcome, Denied)


def _check(running: Running, database: str, told: Acknowledged) -> None:
    from approvals.store import open_store  # noqa: PLC0415 - a new one, as after a restart

    store, keys = open_store(database), running.service.keys
    while log.sequence(store, keys, now=int(time.time())):
        pass
    report = log.check(store, vkeys=[keys.vkey])
    assert report.ok, report
    with store.read() as tx:
        leaves = [parse_leaf(leaf.leaf) for leaf in tx.log.leaves(0, tx.log.leaf_count())]
        by_type: dict[str, set[object]] = {}
        for leaf in leaves:
            by_type.setdefault(leaf.type.value, set()).add(leaf.public.get("approval"))
        for verdict, token in told.allowed.items():
            issued = tx.approvals.of(tenant="default", txn=verdict)
            assert issued is not None
            assert issued.token == token
        for request in told.opened:
            assert tx.requests.get(tenant="default", request_id=request) is not None
        for request, person, decision in told.votes:
            stored = tx.requests.get(tenant="default", request_id=request)
            assert stored is not None
            cast = {(vote.approver, vote.decision.value) for vote in stored.request.votes}
            assert (person, decision) in cast
        for request, token in told.approved.items():
            issued = tx.approvals.of(tenant="default", txn=request)
            assert issued is not None
            assert issued.token == token
        for jti, use in told.receipts.items():
            spent = tx.approvals.spent(tenant="default", jti=jti)
            assert spent is not None
            assert spent.use_id == use
        # Nothing was granted that is not in the log.
        granted = set(tx.session.execute(_select("approval")).scalars())
        assert granted == by_type["call.allowed"] | by_type["request.approved"]
        assert set(tx.session.execute(_select("spend")).scalars()) == by_type["approval.consumed"]
    store.close()


def _select(table: str) -> Executable:
    from sqlalchemy import column, select  # noqa: PLC0415 - used here only
    from sqlalchemy import table as named  # noqa: PLC0415 - used here only

    return select(column("jti")).select_from(named(table))


def _wait_until_it_listens(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.5):
            return
        time.sleep(0.005)
    pytest.fail("the service did not come up")
