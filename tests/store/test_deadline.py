"""One deadline for a transaction: nobody waits longer, whatever it is that does not answer."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from pysqlite3 import dbapi2 as sqlite
from sqlalchemy import event, text

from approvals.core.errors import OutcomeUnknown, Unavailable
from approvals.store import batches, deadline, open_store, outcome
from approvals.store.faults import Failed
from tests.progress import until
from tests.seals import mac
from tests.store.away import relayed
from tests.store.test_batches import ids, notice, put

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from approvals.store import Store
    from tests.store.away import Relay


@pytest.fixture
def far(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Relay, Store]]:
    monkeypatch.setattr(deadline, "SECONDS", 1.0)
    monkeypatch.setattr(deadline, "GRACE", 0.2)
    monkeypatch.setattr(deadline, "GLANCE_SECONDS", 0.5)
    monkeypatch.setattr(outcome, "SECONDS", 0.5)
    with relayed(postgres_url) as (relay, url):
        store = open_store(url, mac=mac)
        yield relay, store
        relay.silent.clear()
        store.close()


def _write(store: Store, *, meanwhile: Callable[[], None]) -> None:
    with store.begin() as tx:
        tx.notices.put(notice(2))
        tx.session.flush()
        meanwhile()
        tx.session.execute(text("SELECT 1"))


def test_a_sqlite_file_locked_by_another_process_costs_each_caller_one_deadline(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadline, "SECONDS", 1.0)
    store = open_store(sqlite_url, mac=mac)
    put(store, 1)
    other = sqlite.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    queue = store._batches
    assert queue is not None
    waits: list[int] = []  # milliseconds that SQLite is told to wait for the lock

    @event.listens_for(queue._engine, "before_cursor_execute")
    def _told(*called: Any) -> None:
        name, _, value = called[2].partition("=")
        if name == "PRAGMA busy_timeout":
            waits.append(int(value))
            if len(waits) == 1:
                until(lambda: queue._queued == 11)  # everybody's deadline has begun

    def attempt(number: int) -> str:
        try:
            put(store, number * 7)
        except Unavailable as error:
            return error.message
        return "done"

    with ThreadPoolExecutor(12) as pool:
        said = set(pool.map(attempt, range(2, 14)))
        # Readers and probes are not behind them.
        assert ids(store) == {"n1"}
    assert said == {"the database is locked by another process or transaction; nothing was done"}
    # One after the other they would have waited twelve times as long.
    assert 0 < sum(waits) <= 1_000
    assert store.health.fault == "locked"
    other.execute("ROLLBACK")
    other.close()
    put(store, 2)
    assert ids(store) == {"n1", "n2"}
    store.close()


def test_who_gives_up_the_turn_leaves_no_batch_behind(
    sqlite_url: str,
) -> None:
    store = open_store(sqlite_url, mac=mac)
    queue = store._batches
    assert queue is not None

    def impatient(number: int) -> bool:
        with deadline.within(0.001 * (number % 5)):
            try:
                with queue.join() as session:
                    session.execute(text("SELECT 1"))
                    time.sleep(0.001)
            except (Failed, Unavailable):
                return False
            return True

    with ThreadPoolExecutor(16) as pool:
        done = list(pool.map(impatient, range(400)))  # it ends: nobody waits for a batch for ever
    assert any(done)
    assert not all(done)
    assert queue._open is None
    put(store, 1)
    store.close()


def test_a_commit_that_never_comes_leaves_its_members_in_doubt_and_not_waiting(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(sqlite_url, mac=mac)
    monkeypatch.setattr(batches, "COMMIT_SECONDS", 0.2)
    queue = store._batches
    assert queue is not None
    queue._queued = 1  # as if somebody were about to join
    with pytest.raises(OutcomeUnknown):
        put(store, 1)
    queue._queued = 0
    put(store, 2)
    assert ids(store) == {"n1", "n2"}
    store.close()


def test_a_network_that_swallows_everything_is_waited_for_until_the_deadline(
    far: tuple[Relay, Store],
) -> None:
    relay, store = far
    put(store, 1)
    with pytest.raises(Unavailable) as error:
        _write(store, meanwhile=relay.silent.set)
    assert "in time" in error.value.message
    with pytest.raises(Unavailable), store.glance():
        pytest.fail("nothing is read")
    relay.silent.clear()
    relay.cut()
    put(store, 4)
    assert ids(store) == {"n1", "n4"}


def test_a_transaction_is_over_when_its_time_is_over(far: tuple[Relay, Store]) -> None:
    _, store = far
    with pytest.raises(Unavailable):
        _write(store, meanwhile=lambda: time.sleep(1.1))
    assert ids(store) == set()


def test_connections_that_a_restart_broke_are_not_given_out(far: tuple[Relay, Store]) -> None:
    relay, store = far
    put(store, 1)
    relay.cut()
    time.sleep(1.1)  # they have rested
    put(store, 2)  # without an error in between
    assert ids(store) == {"n1", "n2"}


def test_what_a_listener_starts_has_no_deadline_of_ours(database_url: str) -> None:
    store = open_store(database_url, mac=mac)
    left: list[float | None] = []
    stop = store.listen(lambda _: left.append(deadline.left()))
    put(store, 1)
    with store.begin() as tx:
        tx.announce("topic")
    while not left:
        time.sleep(0.01)
    assert set(left) == {None}
    stop()
    store.close()
