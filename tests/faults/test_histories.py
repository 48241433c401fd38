"""What many clients of two processes saw could have happened one thing after another.

Enforcers and people submit, vote, withdraw, look and spend at once, and requests expire, while
processes are killed, the database and the network to it fail, or its clock is set. Afterwards each
request's history is checked against a model of one request, together with the state it was left in:
an acknowledgement that is lost, something called undone that was done, a second use of an approval
or a request that ends in two ways is no such history. And the log is checked against the database.
"""

from __future__ import annotations

import math
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

from approvals.core.errors import Conflict
from approvals.core.history.leaves import parse_leaf
from approvals.flow.asking.expire import expire
from approvals.flow.integrity import rounds
from approvals.flow.integrity.introduce import introduce
from approvals.flow.operating.opening import open_service
from approvals.flow.operating.repair import repair_clock
from approvals.flow.operating.restore import checked
from tests import postgres
from tests.faults.clients import TTL, Client, Seen
from tests.faults.counts import note
from tests.faults.hands import DAY
from tests.faults.linear import UNKNOWN, Operation, is_linear
from tests.faults.setting import served

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from approvals.flow.service import Service
    from tests.draws import Draws
    from tests.faults.setting import Setting

CLIENTS = 6
BETWEEN = 15
"""Answers between two faults, at most twice as many."""


@pytest.fixture
def own_database() -> Iterator[str]:
    """An empty database in a server of its own, which a test may stop."""
    with postgres.cluster() as url, postgres.database(url) as database:
        yield database


@pytest.mark.slow
def test_two_processes_that_are_killed(
    tmp_path: Path, empty_postgres_url: str, draws: Draws
) -> None:
    chance = draws.of("kill one of two")
    with served(tmp_path, empty_postgres_url) as setting:
        kills = [partial(setting.kill, chance.randrange(2)) for _ in range(_count(draws, 3, 60))]
        seen = _history(setting, kills, draws)
    _check(setting, seen, "killed", faults=len(kills))


@pytest.mark.slow
def test_a_database_and_a_network_that_fail(
    tmp_path: Path, own_database: str, draws: Draws
) -> None:
    chance = draws.of("database faults")
    with served(tmp_path, own_database) as setting:
        faults: list[Callable[[], None]] = [
            setting.terminate,
            setting.cut,
            setting.lose_a_commit,
            setting.cancel_statements,
            partial(setting.restart, "fast"),
            partial(setting.restart, "immediate"),
        ] * draws.count(sample=1, complete=20)
        chance.shuffle(faults)
        seen = _history(setting, faults, draws)
    _check(setting, seen, "database", faults=len(faults))


@pytest.mark.slow
def test_a_clock_that_is_set(tmp_path: Path, empty_postgres_url: str, draws: Draws) -> None:
    """A little ahead, back by what is borne, a day ahead, and right again."""
    with served(tmp_path, empty_postgres_url, own_clock=True) as setting:
        # Set for a moment: on a clock that is wrong nothing is written, so nothing is waited for.
        def set_for_a_moment(seconds: float) -> None:
            setting.set_clock(seconds)
            time.sleep(1.5)  # longer than a time is carried on
            setting.set_clock(0)

        steps: list[Callable[[], None]] = [
            partial(set_for_a_moment, -20),
            partial(set_for_a_moment, DAY),
            partial(set_for_a_moment, -DAY),
        ] * draws.count(sample=1, complete=20)
        steps.append(partial(setting.set_clock, 40))
        seen = _history(setting, steps, draws, expires_early=True)
        # The processes look at the clock at different moments. One may refuse what another made or
        # saw on a later time; that is no vote.
        for history in seen.history.values():
            history[:] = [
                it for it in history if it.told not in {"statement", "looked_too_briefly"}
            ]
        # Clients were told that a request is over, which nobody may have recorded yet. A day back
        # it would not be.
        recording = open_service(
            setting.running.service.settings, now=int(time.time()), checked=False
        )
        expire(recording)
        recording.store.close()
        setting.set_clock(-DAY)  # what was recorded lies a day ahead, as seen from now
    service = setting.running.service
    reopened = open_service(service.settings, now=int(time.time()), checked=False)
    repaired = repair_clock(reopened, reason="the clock was set back")
    assert repaired.recorded > repaired.now
    with pytest.raises(Conflict, match="nothing was recorded ahead"):
        repair_clock(reopened, reason="again")
    _check(setting, seen, "clock", faults=len(steps), service=reopened)


def _count(draws: Draws, sample: int, complete: int) -> int:
    return draws.count(sample=sample, complete=complete)


def _history(
    setting: Setting,
    faults: Sequence[Callable[[], None]],
    draws: Draws,
    *,
    expires_early: bool = False,
) -> Seen:
    """Let clients go on, and a fault happen after every few answers; what they saw."""
    chance = draws.of("histories")
    seen, stop = Seen(), threading.Event()
    clients = [
        Client(setting.running, setting.url, setting.ports, seen, draws.of(f"client {number}"))
        for number in range(CLIENTS)
    ]
    threads = [threading.Thread(target=client.go, args=(stop,)) for client in clients]
    for thread in threads:
        thread.start()
    try:
        for fault in faults:
            seen.tally.wait_for("answered", more=chance.randint(BETWEEN, 2 * BETWEEN))
            fault()
        seen.tally.wait_for("answered", more=2 * BETWEEN)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    seen.tally.raise_failure()
    for request, asked in seen.requests.items():
        if asked.places == 1 or expires_early:
            begin = asked.begun if expires_early else asked.begun + TTL - 1
            seen.history[request].append(Operation("expire", begin, math.inf, told=UNKNOWN))
    return seen


def _check(
    setting: Setting, seen: Seen, what: str, *, faults: int, service: Service | None = None
) -> None:
    """Hold what was seen to what is there now, in a process of its own."""
    service = service or open_service(setting.running.service.settings, now=int(time.time()))
    try:
        introduce(service)
        expire(service)
        while rounds.sequence(service):
            pass
        report = checked(service)
        assert report.ok, report.findings
        _check_log(service)
        after = time.monotonic()
        for request in seen.requests:
            told = _whole(service, request)
            seen.history[request].append(Operation("end", after, after, told=told))
    finally:
        service.store.close()
    wrong = [
        (request, history)
        for request, history in seen.history.items()
        if not is_linear(history, places=seen.requests[request].places)
    ]
    note(
        what,
        faults=faults,
        operations=seen.operations,
        requests=len(seen.requests),
        unknown=sum(it.told == UNKNOWN for each in seen.history.values() for it in each)
        - sum(it.does == "expire" for each in seen.history.values() for it in each),
        spent=len(seen.receipts),
        codes=seen.codes,
        wrong=len(wrong),
    )
    assert not seen.undeclared, seen.undeclared[:5]
    assert not wrong, wrong[:2]
    # Asked again under the same key the same request is found; spent again, the same receipt.
    assert all(len(found) == 1 for found in seen.answers.values())
    assert all(len(found) == 1 for found in seen.receipts.values())
    assert seen.receipts


def _whole(service: Service, request: str) -> str:
    """All that there is to see of a request, as the model writes it."""
    with service.store.read() as tx:
        stored = tx.requests.get(tenant="default", request_id=request)
        assert stored is not None, request
        spent = tx.approvals.spent(tenant="default", jti="apr_" + request[4:])
        votes = sorted((vote.approver, vote.decision.value) for vote in stored.request.votes)
        state = stored.request.state.value
    return f"{state} {votes} {'' if spent is None else spent.use_id}"


def _check_log(service: Service) -> None:
    """Nothing was granted that the log does not tell of, and nothing is told twice."""
    with service.store.read() as tx:
        told: dict[str, list[object]] = {}
        for leaf in tx.log.leaves(0, tx.log.leaf_count()):
            event = parse_leaf(leaf.leaf).event
            told.setdefault(event.TYPE, []).append(getattr(event, "approval", None))
        for kind in ("call.allowed", "request.approved", "approval.consumed"):
            assert len(told.get(kind, [])) == len(set(told.get(kind, [])))
        for jti in told.get("approval.consumed", []):
            assert tx.approvals.spent(tenant="default", jti=str(jti)) is not None
