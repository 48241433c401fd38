"""What a process has seen in the log holds, whatever the database says afterwards.

The intruder files the later leaves of a subject under another one, which changes no hash, and puts
back its rows with the sealed end of its chain. What is left of the subject agrees with itself.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
from sqlmodel import SQLModel

from approvals import log
from approvals.core.errors import Conflict, ProofError
from approvals.core.history.events import SERVICE, LogClosed
from approvals.flow import status
from approvals.flow.asking import answers
from approvals.flow.auditing.evidence import evidence
from approvals.flow.deciding import look
from approvals.flow.granting import consume, report
from approvals.flow.integrity.rounds import read_back, sequence, sweep
from approvals.flow.knowing import reading
from approvals.flow.operating.restore import Ending, accept, checked
from approvals.flow.service import Service, new_occasion, occasion_of
from approvals.keys.mark import Mark
from approvals.store.ends import Ends
from approvals.store.rows.calls import ApprovalRow, IdempotencyRow, VerdictRow
from approvals.store.rows.log import StandingRow
from tests.flow.put_back import CHAIN, LEAF, another_process, found, refused, scenes
from tests.intruder import Intruder, table_of
from tests.service import start

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.flow.put_back import Scene
    from tests.service import Running

STANDING = table_of(StandingRow)


@pytest.fixture
def running(tmp_path: Path, database_url: str) -> Iterator[Running]:
    started = start(tmp_path, database_url, people=("ada", "ben"))
    here = started.service
    started.service = Service(here.store, here.keys, here.settings, Mark(here.keys.folder))
    yield started
    started.service.store.close()


@scenes
@pytest.mark.parametrize("placed", [False, True])
def test_who_committed_it_is_not_told_otherwise(
    running: Running, intruder: Intruder, scene: Scene, *, placed: bool
) -> None:
    past, again = scene(running, intruder)
    if placed:
        sequence(running.service)
    past.put_back()
    refused(again)
    if placed:
        assert "leaf_subject" in {finding.code for finding in checked(running.service).findings}


@scenes
def test_another_process_knows_it_from_its_next_round_on(
    running: Running, intruder: Intruder, scene: Scene
) -> None:
    past, again = scene(running, intruder)
    sequence(running.service)
    with another_process(running) as other:
        read_back(other)
        past.put_back()
        refused(again)
        assert found(other) is None


@scenes
def test_a_process_that_starts_afterwards_finds_it_and_closes(
    running: Running, intruder: Intruder, scene: Scene
) -> None:
    past, again = scene(running, intruder)
    sequence(running.service)
    past.put_back()
    with another_process(running) as other:
        read_back(other)
        assert found(other) == "log_altered"
        refused(again, "closed")
    assert found(running.service) == "log_altered"


@scenes
def test_what_is_older_than_a_process_reads_is_found_by_the_sweep(
    running: Running, intruder: Intruder, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "SWEPT", 5)
    past, again = scene(running, intruder)
    sequence(running.service)
    running.service.forget_recent("default")
    with another_process(running) as other:
        read_back(other, window=0)
        size = other.mark.marked.size  # type: ignore[union-attr]
        steps = [sweep(other) for _ in range(size // 5 + 2)]
        assert steps[: size // 5] == [*range(5, size + 1, 5)]
        assert size in steps
        past.put_back()
        refused(lambda: [sweep(other) for _ in range(2 * (size // 5 + 1))], "log_altered")
        assert sweep(other) == 0  # nothing is read while the service is closed
        refused(again, "closed")


def test_a_key_whose_answer_was_taken_away_gives_no_second_approval(
    running: Running, intruder: Intruder
) -> None:
    def ask() -> answers.Answer:
        return running.submit("1", tool="balance", idempotency_key="once")

    first = ask()
    assert isinstance(first, answers.Allowed)
    assert ask() == first
    sequence(running.service)
    for row in (IdempotencyRow, VerdictRow, ApprovalRow):
        (held,) = intruder.rows(table_of(row))
        intruder.delete(table_of(row), held)
        refused(ask)
    for table in (LEAF, CHAIN):
        for held in intruder.rows(table):
            if held["subject"] == first.id:
                if table is LEAF:
                    intruder.edit(table, held, subject="vrd_elsewhere")
                else:
                    intruder.delete(table, held)
    refused(ask)
    another = running.submit("1", tool="balance", idempotency_key="another")
    assert isinstance(another, answers.Allowed)
    with another_process(running) as other:
        read_back(other)
        refused(ask, "closed")


def test_a_key_gives_the_same_ids_that_nobody_else_can_tell(running: Running) -> None:
    service = running.service
    names = [("default", "payments", "once"), ("default", "payment", "sonce"), ("d", "p", "o")]
    made = [
        occasion_of(service, tenant=tenant, enforcer=enforcer, key=key)
        for tenant, enforcer, key in names
    ]
    again = occasion_of(service, tenant="default", enforcer="payments", key="once")
    assert again == made[0]
    assert len({*made}) == 3
    assert all(len(occasion) == len(new_occasion()) == 26 for occasion in made)


@pytest.mark.parametrize("read", [sweep, read_back])
def test_a_leaf_that_was_deleted_is_missed(
    running: Running, intruder: Intruder, read: Callable[[Service], object]
) -> None:
    sequence(running.service)
    intruder.delete(LEAF, intruder.rows(LEAF)[3])
    with another_process(running) as other:
        sequence(other)  # which looks at the edge of the tree alone
        with contextlib.suppress(ProofError):
            read(other)
        assert found(other) == "log_incomplete"


@pytest.mark.parametrize("text", [b"{", b"[]", b'{"tenant":"default","subject":"bundles"}'])
def test_what_is_no_event_is_an_altered_log(
    running: Running, intruder: Intruder, text: bytes
) -> None:
    sequence(running.service)
    intruder.edit(LEAF, intruder.rows(LEAF)[3], leaf=text)
    with another_process(running) as other:
        read_back(other)
        assert found(other) == "log_altered"


@pytest.mark.parametrize("read", [sweep, read_back])
def test_a_leaf_that_tells_something_else_does_not_hash_to_the_checkpoint(
    running: Running, intruder: Intruder, read: Callable[[Service], object]
) -> None:
    sequence(running.service)
    leaf = intruder.rows(LEAF)[3]
    other_time = leaf["leaf"].replace(b'"time":1', b'"time":2')
    assert other_time != leaf["leaf"]
    intruder.edit(LEAF, leaf, leaf=other_time)
    with contextlib.suppress(ProofError):
        read(running.service)
    assert found(running.service) == "log_altered"


def test_a_snapshot_is_refused_nothing_that_is_newer(running: Running) -> None:
    request_id = running.opened("20.00")
    sequence(running.service)
    with running.service.store.read() as tx:
        before = tx.chains.chain(tenant="default", subject=request_id)
        running.decide("ada", request_id)
        sequence(running.service)
        assert tx.chains.chain(tenant="default", subject=request_id) == before
        assert tx.chains.history(tenant="default", subject=request_id).count == before.count
        assert tx.bundles.current("default") is not None


def test_what_did_not_commit_is_not_known(running: Running) -> None:
    store = running.service.store

    def known() -> int:
        return store.ends.least(tenant="default", subject=SERVICE, moment=store.ends.moment)

    before = known()
    event = LogClosed(time=1, tenant="default", code="a_test")

    def fail() -> None:
        with store.begin() as tx:
            log.append(tx, event)
            tx.chains.settle()
            raise Conflict("nothing is done", code="a_test")

    refused(fail, "a_test")
    assert known() == before
    with store.begin() as tx:
        log.append(tx, event)
    assert known() == before + 1


def test_of_many_subjects_those_that_are_in_use_stay_known() -> None:
    ends = Ends(kept=3)
    for number in range(6):
        ends.add([("default", f"req_{number}", 1)])
        assert ends.least(tenant="default", subject="req_0", moment=ends.moment) == 1
    known = [
        number
        for number in range(6)
        if ends.least(tenant="default", subject=f"req_{number}", moment=ends.moment)
    ]
    assert known == [0, 4, 5]
    ends.add([("default", "req_5", 3), ("default", "req_5", 2)])
    assert ends.least(tenant="default", subject="req_5", moment=ends.moment) == 3
    assert ends.least(tenant="default", subject="req_5", moment=ends.moment - 1) == 0
    ends.forget()
    assert ends.least(tenant="default", subject="req_5", moment=ends.moment) == 0


def test_openings_that_were_erased_are_not_missed(running: Running, intruder: Intruder) -> None:
    request_id = running.opened("20.00")
    sequence(running.service)
    for leaf in intruder.rows(LEAF):
        intruder.edit(LEAF, leaf, opening="{}")
    with another_process(running) as other:
        read_back(other)
        assert sweep(other)
        assert found(other) is None
        with other.store.read() as tx:
            assert tx.chains.chain(tenant="default", subject=request_id).count


def test_a_restored_database_is_not_measured_by_the_one_that_is_given_up(
    running: Running, intruder: Intruder
) -> None:
    request_id = running.opened("20.00")
    running.decide("ada", request_id)
    sequence(running.service)
    with another_process(running) as other:
        read_back(other)
        before = {table: intruder.rows(table) for table in SQLModel.metadata.sorted_tables}
        jti = "apr_" + request_id.removeprefix("req_")
        told = status.status(other, running.caller, request_id)
        consume.consume(other, running.caller, jti, call_hash=told.call_hash, use_id="lost")
        report.report(other, running.caller, jti, status="ok")
        sequence(other)
        for table, its in before.items():
            intruder.put_back(table, its)
        refused(lambda: sequence(other), "log_rolled_back")
        with another_process(running) as shell:
            accept(shell, reason="the disk broke", ending=Ending())
            assert sequence(shell)
        sequence(other)
        assert found(other) is None
        look.request(other, running.session("ada"), request_id)
        assert evidence(other, running.caller, request_id)
        assert checked(other).ok
        assert isinstance(running.submit("9.00"), answers.Opened)
