"""The log on the real databases: nothing is lost, doubled or half done, whoever writes at once."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from approvals.core.errors import ProofError
from approvals.core.history.leaves import Chain, parse_leaf
from approvals.core.merkle import root
from approvals.log import append, check, checkpoint, inclusion, sequence
from approvals.log.check import CHUNK
from approvals.store import Store, open_store
from approvals.store.leaves import Leaves
from tests.log.logs import NOW, Signer, event, grow, stage
from tests.seals import mac

if TYPE_CHECKING:
    from collections.abc import Iterator

SIGNER = Signer()


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    store = open_store(database_url, mac=mac)
    yield store
    store.close()


@pytest.fixture
def postgres(postgres_url: str) -> Iterator[Store]:
    store = open_store(postgres_url, mac=mac)
    yield store
    store.close()


def subjects(store: Store) -> list[str | None]:
    with store.read() as tx:
        return [leaf.subject for leaf in tx.log.leaves(0, 100_000)]


def test_a_log_of_many_batches_is_whole(store: Store) -> None:
    grow(store, SIGNER, [1, 254, 2, 300, CHUNK])
    report = check(store, vkeys=[SIGNER.vkey])
    assert report.findings == ()
    assert (report.size, report.checkpoints, report.staged) == (557 + CHUNK, 5, 0)
    with store.read() as tx:
        assert report.root == root(tx.log.hashes(0, report.size))
        assert checkpoint(tx).startswith(f"{SIGNER.origin}\n{report.size}\n")
        assert len(inclusion(tx, 0, report.size)) == (report.size - 1).bit_length()
        assert [leaf.index for leaf in tx.log.about(tenant="default", subject="req_300")] == [300]


def test_an_edit_in_the_database_is_found(store: Store) -> None:
    grow(store, SIGNER, [300])
    with store.begin() as tx:
        tx.session.execute(text("UPDATE leaf SET tenant = 'other' WHERE \"index\" = 123"))
    (finding,) = check(store, vkeys=[SIGNER.vkey]).findings
    assert (finding.code, finding.place) == ("leaf_tenant", "leaf 123")


class CrashError(Exception):
    """The process dies here."""


@pytest.mark.parametrize("step", ["append", "put_nodes", "put_checkpoint", "unstage"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_crash_between_any_two_steps_leaves_nothing_half(
    store: Store, monkeypatch: pytest.MonkeyPatch, step: str, moment: str
) -> None:
    grow(store, SIGNER, [200])
    stage(store, range(200, 300))
    before = check(store, vkeys=[SIGNER.vkey])
    real = getattr(Leaves, step)

    def crashing(*arguments: object) -> None:
        if moment == "after":
            real(*arguments)
        raise CrashError

    with monkeypatch.context() as patch:
        patch.setattr(Leaves, step, crashing)
        with pytest.raises(CrashError):
            sequence(store, SIGNER, now=NOW)
    assert check(store, vkeys=[SIGNER.vkey]) == before
    assert sequence(store, SIGNER, now=NOW) == 100
    after = check(store, vkeys=[SIGNER.vkey])
    assert (after.findings, after.size, after.staged) == ((), 300, 0)
    assert subjects(store) == [f"req_{number}" for number in range(300)]


def test_an_event_whose_transaction_fails_is_not_in_the_log(store: Store) -> None:
    def fail() -> None:
        with store.begin() as tx:
            append(tx, event(1))
            raise CrashError

    with pytest.raises(CrashError):
        fail()
    stage(store, [2])
    assert sequence(store, SIGNER, now=NOW) == 1
    assert subjects(store) == ["req_2"]


def test_writers_and_sequencers_at_once_lose_and_double_nothing(store: Store) -> None:
    """Law: every committed event has exactly one leaf, whoever sequenced while it committed."""
    writers, each = 6, 40
    finished = threading.Event()

    def write(writer: int) -> None:
        for number in range(each):
            stage(store, [writer * each + number])

    def keep_sequencing() -> int:
        total = 0
        while not finished.is_set():
            total += sequence(store, SIGNER, now=NOW, limit=17)
        return total

    with ThreadPoolExecutor(writers + 3) as pool:
        sequencers = [pool.submit(keep_sequencing) for _ in range(3)]
        try:
            for _ in pool.map(write, range(writers)):
                pass
        finally:
            finished.set()
        total = sum(sequencer.result() for sequencer in sequencers)
    while found := sequence(store, SIGNER, now=NOW):
        total += found
    assert total == writers * each
    assert sorted(map(str, subjects(store))) == sorted(f"req_{n}" for n in range(writers * each))
    assert check(store, vkeys=[SIGNER.vkey]).ok


def chained(store: Store) -> dict[str, int]:
    """How many events each subject has in the log; their numbers and links hold, in log order."""
    chains: dict[str, Chain] = {}
    with store.read() as tx:
        for leaf in tx.log.leaves(0, 100_000):
            told = parse_leaf(leaf.leaf)
            chain = chains.setdefault(told.event.subject, Chain())
            assert told.link == chain.next()
            chain.add(leaf.leaf)
        assert chains == {name: tx.chains.chain(tenant="default", subject=name) for name in chains}
    return {name: chain.count for name, chain in chains.items()}


def test_events_of_shared_subjects_are_chained_whoever_writes_at_once(store: Store) -> None:
    """Law: no gap, no fork and no deadlock, in whichever order transactions name their subjects."""
    names = [f"req_{letter}" for letter in "abcd"]
    rounds, writers = 12, 6

    def write(writer: int) -> None:
        for number in range(rounds):
            mine = random.Random(f"{writer}/{number}").sample(names, 3)  # noqa: S311
            with store.begin() as tx:
                for name in [*mine, mine[0]]:
                    append(tx, event(number, subject=name))

    with ThreadPoolExecutor(writers) as pool:
        for _ in pool.map(write, range(writers)):
            pass
    while sequence(store, SIGNER, now=NOW, limit=7):
        pass
    counts = chained(store)
    assert counts.keys() == set(names)
    assert sum(counts.values()) == writers * rounds * 4


def test_what_did_not_commit_leaves_no_gap(store: Store) -> None:
    def write(*, fails: bool) -> None:
        with store.begin() as tx:
            append(tx, event(1))
            append(tx, event(2, subject="req_1"))
            if fails:
                tx.chains.settle()
                raise CrashError

    write(fails=False)
    with pytest.raises(CrashError):
        write(fails=True)
    write(fails=False)
    assert sequence(store, SIGNER, now=NOW) == 4
    assert chained(store) == {"req_1": 4}


def test_an_event_that_is_no_leaf_keeps_its_transaction_from_committing(store: Store) -> None:
    def write() -> None:
        with store.begin() as tx:
            append(tx, event(1))
            append(tx, replace(event(2), subject="vrd_2"))

    with pytest.raises(ProofError):
        write()
    stage(store, [3])
    assert sequence(store, SIGNER, now=NOW) == 1
    assert chained(store) == {"req_3": 1}


def test_on_postgresql_an_event_that_commits_late_is_sequenced_later(postgres: Store) -> None:
    """Its id was drawn first, so a sequencer that remembered the highest id would skip it."""
    with postgres.begin() as late:
        append(late, event(1, subject="req_late"))
        late.chains.settle()
        with postgres.begin() as early:
            append(early, event(2, subject="req_early"))
        assert sequence(postgres, SIGNER, now=NOW) == 1
    assert sequence(postgres, SIGNER, now=NOW) == 1
    assert subjects(postgres) == ["req_early", "req_late"]


def test_on_postgresql_one_sequences_and_the_others_do_nothing(postgres: Store) -> None:
    stage(postgres, [1])
    with postgres.begin() as leader:
        assert leader.log.lead()
        assert sequence(postgres, SIGNER, now=NOW) == 0
    assert sequence(postgres, SIGNER, now=NOW) == 1


def test_a_check_while_the_log_grows_finds_nothing(store: Store) -> None:
    grow(store, SIGNER, [50])
    finished = threading.Event()

    def keep_growing() -> None:
        number = 50
        while not finished.is_set():
            stage(store, range(number, number + 20))
            sequence(store, SIGNER, now=NOW)
            number += 20

    with ThreadPoolExecutor(1) as pool:
        growing = pool.submit(keep_growing)
        try:
            reports = [check(store, vkeys=[SIGNER.vkey]) for _ in range(10)]
        finally:
            finished.set()
        growing.result()
    assert [report.findings for report in reports] == [()] * 10
    assert [report.size for report in reports] == sorted(report.size for report in reports)
