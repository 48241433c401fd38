from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psycopg
import pytest
from sqlalchemy import Connection as PooledConnection
from sqlalchemy import event, text
from sqlmodel import select

from approvals.core.errors import Conflict, Unavailable
from approvals.store import open_store
from approvals.store.batches import _Batch
from approvals.store.notices import Notice
from approvals.store.postgres import Connection
from approvals.store.rows.notices import NoticeRow
from tests.seals import mac

if TYPE_CHECKING:
    from collections.abc import Iterator

    from approvals.store import Store

MEMBERS = 200


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    opened = open_store(database_url, mac=mac)
    yield opened
    opened.close()


def notice(number: int, *, kind: str = "request") -> Notice:
    return Notice(
        id=f"n{number}",
        tenant="default",
        kind=kind,
        person="ada",
        channel="email",
        subject=f"req_{number}",
        agent=None,
        enforcer=None,
        revision=1,
        sent=0,
        attempts=0,
        reference=None,
        created=number,
        due=number,
    )


def put(store: Store, number: int, *, kind: str = "request") -> None:
    with store.begin() as tx:
        tx.notices.put(notice(number, kind=kind))
        if number % 7 == 3:
            raise Conflict("this one changes its mind")


def ids(store: Store) -> set[str]:
    with store.read() as tx:
        return set(tx.session.exec(select(NoticeRow.id)))


def test_each_transaction_commits_or_not_on_its_own(store: Store) -> None:
    def attempt(number: int) -> str | None:
        try:
            put(store, number)
        except Conflict:
            return None
        # Acknowledged: from here on every reader must find it.
        assert f"n{number}" in ids(store)
        return f"n{number}"

    with ThreadPoolExecutor(16) as pool:
        acknowledged = {one for one in pool.map(attempt, range(MEMBERS)) if one is not None}
    assert ids(store) == acknowledged
    assert len(acknowledged) == sum(number % 7 != 3 for number in range(MEMBERS))


def test_listeners_hear_after_the_commit_and_not_of_what_was_rolled_back(store: Store) -> None:
    heard: list[str] = []
    found: list[set[str]] = []
    told = threading.Event()

    def listener(topic: str) -> None:
        if topic:
            heard.append(topic)
            found.append(ids(store))
            told.set()

    stop = store.listen(listener)
    while store._ear is not None and not store._ear.hearing.wait(0.1):
        pass
    with pytest.raises(Conflict):
        _announce_and_fail(store)
    with store.begin() as tx:
        tx.notices.put(notice(1))
        tx.announce("req_1")
    assert told.wait(10)
    assert heard == ["req_1"]
    assert found == [{"n1"}]
    stop()


def test_who_reads_sees_one_moment(store: Store) -> None:
    with store.read() as tx:
        assert tx.standing.outbox("email", most=1) == (0, None)
        put(store, 1)
        assert tx.standing.outbox("email", most=1) == (0, None)
    assert ids(store) == {"n1"}


def _announce_and_fail(store: Store) -> None:
    with store.begin() as tx:
        tx.announce("never")
        raise Conflict("no")


def test_a_full_disk_grants_nothing_and_hurts_nothing(sqlite_url: str) -> None:
    store = open_store(sqlite_url, mac=mac)
    put(store, 1)
    batches = store._batches
    assert batches is not None
    # SQLite's own limit on the size of the file: it fails like a full disk, at the same places.
    with store.begin() as tx:
        pages = tx.session.execute(text("PRAGMA page_count")).scalar_one()
    store._engine.dispose()

    def limit(connection: object, _entry: object) -> None:
        connection.execute(f"PRAGMA max_page_count={pages + 3}")  # type: ignore[attr-defined]

    event.listen(store._engine, "connect", limit)
    outcomes, refused = [], set()
    for number in range(100, 400):
        try:
            with store.begin() as tx:
                tx.notices.put(notice(number, kind="k" * 900))
            outcomes.append(f"n{number}")
        except Unavailable as error:
            refused.add(error.code)
    assert refused == {"unavailable"}
    assert ids(store) == {"n1", *outcomes}
    event.remove(store._engine, "connect", limit)
    store._engine.dispose()
    put(store, 2)
    assert "n2" in ids(store)
    store.close()


def test_a_batch_that_cannot_commit_tells_every_member(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(sqlite_url, mac=mac)
    monkeypatch.setattr(_Batch, "alive", lambda _: False)

    def attempt(number: int) -> str:
        try:
            put(store, number * 7)
        except Unavailable as error:
            return error.code
        return "acknowledged"

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(attempt, range(32))) == {"unavailable"}
    monkeypatch.undo()
    assert ids(store) == set()
    store.close()


def test_nor_does_anybody_believe_in_a_commit_that_was_interrupted(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(sqlite_url, mac=mac)
    inside, go_on = threading.Event(), threading.Event()
    commit = PooledConnection.commit

    def interrupted(connection: PooledConnection) -> None:
        if connection.get_execution_options().get("writes"):
            raise MemoryError
        commit(connection)

    def first() -> None:
        with store.begin() as tx:
            tx.notices.put(notice(1))
            inside.set()
            assert go_on.wait(10)

    with ThreadPoolExecutor(2) as pool:
        waits = pool.submit(first)
        assert inside.wait(10)
        commits = pool.submit(put, store, 2)  # it finds nobody behind it, and commits for both
        while store._batches is not None and store._batches._queued == 0:
            pass
        monkeypatch.setattr(PooledConnection, "commit", interrupted)
        go_on.set()
        assert isinstance(waits.exception(10), Unavailable)
        assert isinstance(commits.exception(10), MemoryError)
    monkeypatch.undo()
    put(store, 4)  # and the next writer gets its turn
    assert ids(store) == {"n4"}
    store.close()


def test_a_database_that_is_away_is_unavailable(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(postgres_url, mac=mac)
    store._engine.dispose()
    with monkeypatch.context() as patch:
        patch.setattr(Connection, "connect", _refused)
        with pytest.raises(Unavailable), store.begin():
            pytest.fail("nothing begins")
    assert ids(store) == set()
    with pytest.raises(Unavailable):
        open_store("postgresql+psycopg://nobody@127.0.0.1:9/none", mac=mac)
    store.close()


def _refused(*_: object, **__: object) -> None:
    raise psycopg.OperationalError("connection refused")
