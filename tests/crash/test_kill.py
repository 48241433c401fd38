"""The service is killed, without warning, again and again, while enforcers and people use it.

What was acknowledged must be there afterwards: decisions, approvals, receipts. And nothing may be
granted that is not in the log.

It is killed after progress and not after some time: when the n-th submission, vote or use since its
start was sent, and so is under way, or was acknowledged. So each kind of them is cut short however
slow the machine is.
"""

from __future__ import annotations

import contextlib
import os
import signal
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
from approvals.core.calls import ToolCall
from approvals.core.history.leaves import parse_leaf
from approvals.verifier import Verifier
from tests.crash.processes import free_port, launcher
from tests.progress import PATIENCE, Tally
from tests.service import ENFORCER, TARGET, Running, start

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Executable

    from tests.draws import Draws

CLIENTS = 3
STEPS = ("read", "submit", "look", "begin", "vote", "wait", "consume")
MOMENTS = tuple(f"{step} {stage}" for step in STEPS for stage in ("sent", "acknowledged"))


@dataclass
class Acknowledged:
    """What the service said to its clients."""

    allowed: dict[str, str] = field(default_factory=dict)
    opened: set[str] = field(default_factory=set)
    votes: set[tuple[str, str, str]] = field(default_factory=set)
    approved: dict[str, str] = field(default_factory=dict)
    receipts: dict[str, str] = field(default_factory=dict)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_nothing_acknowledged_is_lost(tmp_path: Path, database_url: str, draws: Draws) -> None:
    # Every kind of moment at least once, in the suite as well.
    chance = draws.of("kill the service")
    kills = list(MOMENTS) * draws.count(sample=1, complete=14)
    chance.shuffle(kills)
    port = free_port()
    url = f"http://localhost:{port}"
    running = start(tmp_path, database_url, url=url)
    running.service.store.close()
    told, tally = Acknowledged(), Tally()
    stop = threading.Event()
    clients = [
        threading.Thread(
            target=_use,
            kwargs={"running": running, "number": number, "told": told}
            | {"url": url, "tally": tally, "stop": stop},
        )
        for number in range(CLIENTS)
    ]
    with launcher(
        "tests.crash.launcher", str(tmp_path / "assent"), database_url, url, str(port)
    ) as launch:
        for client in clients:
            client.start()
        try:
            for moment in kills:
                child = launch()
                tally.wait_for(moment, more=chance.randint(1, 3))
                os.kill(child, signal.SIGKILL)
        finally:
            stop.set()
            for client in clients:
                client.join()
    tally.raise_failure()
    assert all(tally.count(moment) > 0 for moment in MOMENTS)
    _check(running, database_url, told)


def _use(
    *,
    url: str,
    running: Running,
    number: int,
    told: Acknowledged,
    tally: Tally,
    stop: threading.Event,
) -> None:
    """Be an enforcer whose calls two people decide, as long as it goes on."""
    try:
        with (
            Client(url, enforcer=ENFORCER, key=running.enforcer_jwk) as client,
            httpx2.Client(timeout=PATIENCE) as browser,
        ):
            use = _Use(client, browser, url, running, told, tally)
            turn = 0
            while not stop.is_set():
                # What was cut short is asked again: the same call finds its request.
                with contextlib.suppress(ServiceAway, ServiceError, httpx2.HTTPError):
                    use.read_a_balance(f"{number}-{turn}")
                    use.transfer(500 + number * 100_00 + turn)
                    turn += 1
    except BaseException as failure:  # told to the thread that waits for progress, and raised there
        tally.fail(failure)
        raise


@dataclass(frozen=True, slots=True)
class _Use:
    """One enforcer with the browser of its people."""

    client: Client
    browser: httpx2.Client
    url: str
    running: Running
    told: Acknowledged
    tally: Tally

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Tell when a step is sent and when it was acknowledged."""
        self.tally.add(f"{name} sent")
        yield
        self.tally.add(f"{name} acknowledged")

    def read_a_balance(self, account: str) -> None:
        call = ToolCall(TARGET, "balance", {"account": account})
        with self.step("read"):
            answer = self.client.submit(call, agent="billing-agent", user="uma")
        assert isinstance(answer, Allowed)
        self.told.allowed[answer.id] = answer.approval

    def transfer(self, amount: int) -> None:
        call = ToolCall(TARGET, "transfer", {"amount": f"{amount}.00", "to": "vendor@example.com"})
        with self.step("submit"):
            answer = self.client.submit(call, agent="billing-agent", user="uma")
        assert isinstance(answer, Pending)
        self.told.opened.add(answer.id)
        for person in ("ada", "ben"):
            self.decide(person, answer.id)
        with self.step("wait"):
            outcome = self.client.wait(answer.id, timeout=1)
        if not isinstance(outcome, Approved):
            assert not isinstance(outcome, Denied)
            return
        self.told.approved[answer.id] = outcome.token
        jti = "apr_" + answer.id[4:]
        use = f"use-of-{answer.id}"
        verifier = Verifier(issuer=self.url, audience=ENFORCER, keys=self.client.jwks())
        approval = verifier.verify(outcome.token, call, now=int(time.time()))
        with self.step("consume"):
            self.client.consume(approval, verifier=verifier, use_id=use)
        self.told.receipts[jti] = use

    def decide(self, person: str, request_id: str) -> None:
        page = f"{self.url}/r/{request_id}"
        with self.step("look"):
            self.post(person, f"{page}/seen", {})
        with self.step("begin"):
            begun = self.post(person, f"{page}/decide/begin", {"decision": "approve"})
        if begun.status_code != 200:
            return  # this person's vote was counted before the service was killed
        options = begun.json()
        credential = self.running.passkeys[person].authenticate(options["options"])
        vote = {"ceremony": options["ceremony"], "credential": credential, "reason": ""}
        with self.step("vote"):
            finished = self.post(person, f"{page}/decide/finish", vote)
        if finished.status_code == 200:
            self.told.votes.add((request_id, person, "approve"))

    def post(self, person: str, url: str, body: dict[str, object]) -> httpx2.Response:
        web = {"origin": self.url, "cookie": f"assent={self.running.tokens[person]}"}
        return self.browser.post(url, json=body, headers=web)


def _check(running: Running, database: str, told: Acknowledged) -> None:
    from approvals.store import open_store  # noqa: PLC0415 - a new one, as after a restart

    keys = running.service.keys
    store = open_store(database, mac=keys.seal)
    while log.sequence(store, keys, now=int(time.time())):
        pass
    report = log.check(store, vkeys=[keys.vkey])
    assert report.ok, report
    with store.read() as tx:
        events = [parse_leaf(leaf.leaf).event for leaf in tx.log.leaves(0, tx.log.leaf_count())]
        by_type: dict[str, set[object]] = {}
        for event in events:
            by_type.setdefault(event.TYPE, set()).add(getattr(event, "approval", None))
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
