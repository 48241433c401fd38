"""A commit whose answer is lost: what was done is never called undone, nor the other way round."""

from __future__ import annotations

import resource
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from pysqlite3 import dbapi2 as sqlite
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, InternalError

from approvals.core.errors import OutcomeUnknown, Unavailable
from approvals.store import open_store, outcome
from approvals.store.batches import _Batch
from tests.seals import mac
from tests.store.away import relayed
from tests.store.test_batches import ids, notice

if TYPE_CHECKING:
    from collections.abc import Iterator

    from approvals.store import Store
    from tests.store.away import Relay

COMMIT = b"Q\x00\x00\x00\x0bCOMMIT\x00"
"""The simple query by which psycopg commits."""


@pytest.fixture
def far(postgres_url: str) -> Iterator[tuple[Relay, Store]]:
    """A store that reaches its PostgreSQL over a network that can fail."""
    with relayed(postgres_url) as (relay, url):
        store = open_store(url.replace("postgresql://", "postgresql+psycopg://"), mac=mac)
        yield relay, store
        relay.silent.clear()
        relay.on_request = None
        store.close()


def put(store: Store, number: int) -> None:
    with store.begin() as tx:
        tx.notices.put(notice(number))


def test_a_commit_that_was_done_is_acknowledged_although_its_answer_was_lost(
    far: tuple[Relay, Store],
) -> None:
    relay, store = far
    put(store, 1)
    relay.on_request = lambda data: COMMIT in data
    put(store, 2)  # the answer to its COMMIT never comes
    assert relay.cuts == 1
    relay.on_request = None
    assert ids(store) == {"n1", "n2"}


def test_a_commit_that_never_arrived_is_known_not_to_be_done(far: tuple[Relay, Store]) -> None:
    relay, store = far
    put(store, 1)

    def swallow(data: bytes) -> bool:
        if COMMIT in data:
            relay.on_request = None
            relay.cut()
        return False

    relay.on_request = swallow
    with pytest.raises(Unavailable) as refused:
        put(store, 2)
    assert refused.value.code == "unavailable"
    assert ids(store) == {"n1"}
    put(store, 3)
    assert ids(store) == {"n1", "n3"}


def test_who_cannot_be_asked_again_leaves_the_outcome_unknown(
    far: tuple[Relay, Store], postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay, store = far
    monkeypatch.setattr(outcome, "SECONDS", 0.5)
    put(store, 1)

    def lose(data: bytes) -> bool:
        if COMMIT in data:
            relay.silent.set()  # after these bytes have gone through
            return True
        return False

    relay.on_request = lose
    with pytest.raises(OutcomeUnknown) as unknown:
        put(store, 2)
    assert unknown.value.code == "outcome_unknown"
    assert store.health.fault == "outcome_unknown"
    with psycopg.connect(postgres_url) as connection:
        found = {row[0] for row in connection.execute("SELECT id FROM notice")}
    assert found == {"n1", "n2"}  # and it was done


def test_another_history_of_the_server_is_not_asked(far: tuple[Relay, Store]) -> None:
    _, store = far
    with store.begin() as tx:
        tx.notices.put(notice(1))
        tx.session.flush()
        now = outcome.mark(tx.session, [])
    assert now.xid is not None
    assert outcome.settle(store.url, now) is True
    assert outcome.settle(store.url, outcome.Mark(now.xid, "0000FFFF")) is None
    assert outcome.settle(store.url, outcome.Mark(now.xid, None)) is None
    assert outcome.settle(store.url, outcome.Mark(str(2**40), now.timeline)) is None
    assert outcome.settle(store.url, outcome.Mark(None, now.timeline)) is False


def test_a_server_that_aborted_the_commit_is_believed(far: tuple[Relay, Store]) -> None:
    relay, store = far
    with store.begin() as tx:
        tx.session.execute(text("CREATE TABLE a (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)"))
    asked = threading.Event()

    def watch(data: bytes) -> bool:
        if b"pg_xact_status" in data:
            asked.set()
        return False

    relay.on_request = watch
    with pytest.raises(IntegrityError, match="UniqueViolation"), store.begin() as tx:
        tx.session.execute(text("INSERT INTO a VALUES (1), (1)"))
    assert not asked.is_set()


def test_a_statement_that_failed_unseen_does_not_end_in_an_acknowledged_rollback(
    far: tuple[Relay, Store],
) -> None:
    _, store = far
    with pytest.raises(InternalError, match="InFailedSqlTransaction"):
        _fail_unseen(store)
    assert ids(store) == set()


def _fail_unseen(store: Store) -> None:
    with store.begin() as tx:
        tx.notices.put(notice(1))
        tx.session.flush()
        driver = tx.session.connection().connection.driver_connection
        assert driver is not None
        with pytest.raises(psycopg.errors.DivisionByZero):
            driver.execute("SELECT 1/0")


def test_the_server_restarts_under_load_and_nothing_acknowledged_is_lost(
    far: tuple[Relay, Store], postgres_url: str
) -> None:
    relay, store = far
    done, unknown = set(), set()
    stop = threading.Event()

    def write(worker: int) -> None:
        number = worker * 1_000_000
        while not stop.is_set():
            number += 1
            try:
                put(store, number)
            except OutcomeUnknown:
                unknown.add(f"n{number}")
            except Unavailable:
                pass
            else:
                done.add(f"n{number}")

    with ThreadPoolExecutor(6) as pool:
        work = [pool.submit(write, worker) for worker in range(1, 7)]
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            for aim in (20, 40, 60):
                while len(done) < aim:
                    assert not any(each.done() for each in work)
                    stop.wait(0.01)
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
                relay.cut()
        while len(done) < 80:
            stop.wait(0.01)
        stop.set()
        for each in work:
            each.result()
    assert not unknown  # the server was there to be asked
    assert ids(store) == done


def test_a_sqlite_commit_that_fails_is_undone_for_certain_or_unknown(sqlite_url: str) -> None:
    store = open_store(sqlite_url, mac=mac)
    put(store, 1)
    ahead = Path(f"{sqlite_url.removeprefix('sqlite:///')}-wal")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def attempt(room: int) -> str:
        # The operating system refuses to let the write-ahead log grow: the commit fails half way.
        resource.setrlimit(resource.RLIMIT_FSIZE, (ahead.stat().st_size + room, before[1]))
        try:
            with store.begin() as tx:
                for number in range(10, 90):
                    tx.notices.put(notice(number * 7, kind="k" * 900))
        except (Unavailable, OutcomeUnknown) as error:
            return error.code
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        return "done"

    # No room even for the one frame that would make it certain; and room for that.
    assert attempt(0) == "outcome_unknown"
    assert attempt(12_000) == "unavailable"
    assert ids(store) == {"n1"}
    put(store, 2)
    assert ids(store) == {"n1", "n2"}
    store.close()


def test_what_was_said_to_be_undone_is_not_found_by_a_recovery(
    sqlite_url: str, tmp_path: Path
) -> None:
    store = open_store(sqlite_url, mac=mac)
    put(store, 1)
    file = Path(sqlite_url.removeprefix("sqlite:///"))
    ahead = Path(f"{file}-wal")
    whole = ahead.read_bytes()
    # The frames of a commit whose flush failed: nobody acknowledged it, and they are in the file.
    with store.begin() as tx:
        for number in range(10, 60):
            tx.notices.put(notice(number * 7, kind="k" * 900))
    ghost = ahead.read_bytes()
    before, after = _copy(file, ghost, tmp_path / "b"), _copy(file, whole, tmp_path / "a")
    store.close()
    # What the service does before it says that nothing was done. Its frames take the first places.
    driver = sqlite.connect(after, isolation_level=None)
    assert _Batch(None, driver)._replaced()  # type: ignore[arg-type]
    mended = Path(f"{after}-wal").read_bytes()
    assert len(whole) < len(mended) < len(ghost)
    after = _copy(after, mended + ghost[len(mended) :], tmp_path / "m")
    driver.close()
    assert _found(before) == 51  # without it a recovery finds them
    assert _found(after) == 1


def _copy(file: Path, ahead: bytes, folder: Path) -> Path:
    folder.mkdir()
    copy = folder / "assent.db"
    copy.write_bytes(file.read_bytes())
    Path(f"{copy}-wal").write_bytes(ahead)
    return copy


def _found(file: Path) -> int:
    store = open_store(f"sqlite:///{file}", mac=mac)
    found = len(ids(store))
    store.close()
    return found
