"""Each way in which a database says that it cannot be used, provoked on a real one."""

from __future__ import annotations

import contextlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql
from pysqlite3 import dbapi2 as sqlite
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from approvals.core.errors import AssentError, Unavailable
from approvals.store import deadline, open_store
from approvals.store.faults import fault_of, signature
from approvals.store.transactions import ATTEMPTS, Collided
from tests.seals import mac
from tests.store.test_batches import ids, notice, put

if TYPE_CHECKING:
    from collections.abc import Iterator

    from approvals.store import Store


@pytest.fixture
def store(postgres_url: str) -> Iterator[Store]:
    opened = open_store(postgres_url, mac=mac)
    yield opened
    opened.close()


def name(url: str) -> sql.Identifier:
    return sql.Identifier(url.rsplit("/", 1)[1])


def do(store: Store, statement: str) -> None:
    with store.begin() as tx:
        tx.session.execute(text(statement))


def _write(store: Store, statement: str) -> None:
    with store.begin() as tx:
        tx.notices.put(notice(1))
        tx.session.flush()
        tx.session.execute(text(statement))


def refused(store: Store, statement: str = "SELECT 1") -> str | None:
    """How a transaction that writes fails; it was not done, and the next one is."""
    before = ids(store)
    with pytest.raises(Unavailable) as error:
        _write(store, statement)
    assert error.value.code == "unavailable"
    assert error.value.message.endswith("nothing was done")
    assert ids(store) == before
    return store.health.fault


def test_a_read_only_server_is_read_and_said_to_be_read_only(
    store: Store, postgres_url: str
) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as other:
        other.execute(
            sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(
                name(postgres_url)
            )
        )
    store._engine.dispose()
    store._aside.dispose()
    assert refused(store) == "read_only"
    assert ids(store) == set()


def test_a_backend_that_is_ended_by_the_administrator(store: Store) -> None:
    assert refused(store, "SELECT pg_terminate_backend(pg_backend_pid())") == "stopping"
    put(store, 2)
    assert store.health.fault is None


def test_a_statement_that_takes_too_long_is_ended_by_the_server(store: Store) -> None:
    assert refused(store, "SET LOCAL statement_timeout = 50; SELECT pg_sleep(60)") == "slow"


def test_a_lock_that_somebody_else_holds_is_not_waited_for_for_ever(
    store: Store, postgres_url: str
) -> None:
    with psycopg.connect(postgres_url) as other:
        other.execute("LOCK TABLE account IN ACCESS EXCLUSIVE MODE")
        statement = "SET LOCAL lock_timeout = 50; DELETE FROM account"
        assert refused(store, statement) == "locked"


def test_time_limits_are_set_on_the_server_whatever_its_defaults_are(
    store: Store, postgres_url: str
) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as other:
        for setting in (
            "statement_timeout = 0",
            "lock_timeout = 0",
            "idle_in_transaction_session_timeout = 0",
            "synchronous_commit = off",
        ):
            other.execute(
                sql.SQL("ALTER DATABASE {} SET {}").format(
                    name(postgres_url),
                    sql.SQL(setting),
                )
            )
    store._engine.dispose()
    with store.begin() as tx:
        found = tx.session.execute(
            text(
                "SELECT current_setting('statement_timeout'), current_setting('lock_timeout'), "
                "current_setting('idle_in_transaction_session_timeout'), "
                "current_setting('synchronous_commit'), current_setting('client_encoding')"
            )
        ).one()
    assert tuple(found) == ("12s", "12s", "30s", "on", "UTF8")
    assert deadline.SECONDS == 12


def test_a_deadlock_is_a_collision_and_is_done_again(store: Store) -> None:
    do(store, "CREATE TABLE a (n int PRIMARY KEY, m int)")
    do(store, "INSERT INTO a VALUES (1, 0), (2, 0)")
    both = threading.Barrier(2)
    tries: list[int] = []
    collided: list[bool] = []
    add_one = text("UPDATE a SET m = m + 1 WHERE n = :n")

    def add(first: int, second: int) -> None:
        def work() -> None:
            again = first in tries
            tries.append(first)
            with store.begin() as tx:
                tx.session.execute(text("SET LOCAL deadlock_timeout = 50"))
                tx.session.execute(add_one, {"n": first})
                if not again:
                    both.wait(10)
                tx.session.execute(add_one, {"n": second})

        store.retry(work)
        collided.append(tries.count(first) > 1)

    with ThreadPoolExecutor(2) as pool:
        for each in [pool.submit(add, 1, 2), pool.submit(add, 2, 1)]:
            each.result()
    assert any(collided)
    with store.read() as tx:
        assert tx.session.execute(text("SELECT sum(m) FROM a")).scalar_one() == 4
    assert store.health.fault is None


def test_a_collision_that_goes_on_is_told_after_a_few_attempts(store: Store) -> None:
    attempts = []

    def work() -> None:
        attempts.append(1)
        with store.begin() as tx:
            tx.session.execute(text("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40001'; END $$"))

    with pytest.raises(Collided):
        store.retry(work)
    assert len(attempts) == ATTEMPTS


@pytest.mark.parametrize(
    ("state", "fault"),
    [
        ("25006", "read_only"),
        ("53100", "full"),
        ("53200", "resources"),
        ("53300", "crowded"),
        ("57014", "slow"),
        ("57P01", "stopping"),
        ("57P03", "starting"),
        ("55P03", "locked"),
        ("58030", "disk"),
        ("08006", "lost"),
        ("XX001", "damaged"),
        ("42501", "forbidden"),
        ("42P01", "tables"),
    ],
)
def test_every_state_in_which_nothing_can_be_written_is_known(
    store: Store, state: str, fault: str
) -> None:
    raising = f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{state}'; END $$"
    assert refused(store, raising) == fault


@pytest.mark.parametrize("state", ["23505", "22012", "0A000", "P0001", "XX000"])
def test_what_is_a_bug_of_ours_is_not_hidden(
    store: Store, state: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(DBAPIError):
        do(
            store,
            "DO $$ BEGIN RAISE EXCEPTION 'c4nary' USING "
            f"ERRCODE = '{state}', DETAIL = 'c4nary'; END $$",
        )
    said = capsys.readouterr().err
    assert state in said
    assert "c4nary" not in said
    assert store.health.fault is None


def test_a_broken_constraint_is_logged_by_its_name_and_without_the_row(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    do(store, "CREATE TABLE a (n text CONSTRAINT only_once UNIQUE)")
    with pytest.raises(IntegrityError) as error:
        do(store, "INSERT INTO a VALUES ('c4nary'), ('c4nary')")
    assert signature(error.value)["constraint"] == "only_once"
    assert "c4nary" not in capsys.readouterr().err


def test_a_server_without_a_connection_left_says_so(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as other:
        other.execute("CREATE ROLE crowd LOGIN")
        try:
            other.execute("GRANT ALL ON SCHEMA public TO crowd")
            other.execute("ALTER ROLE crowd CONNECTION LIMIT 0")
            with pytest.raises(Unavailable) as error:
                open_store(postgres_url.replace("assent@", "crowd@"), mac=mac)
        finally:
            other.execute("DROP OWNED BY crowd")
            other.execute("DROP ROLE crowd")
    assert "max_connections" in error.value.message


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("assent@", "nobody:c4nary@"), "user name or password"),
        (("/t", "/nowhere_t"), "no database of that name"),
        (("127.0.0.1", "no-such-host.invalid"), "host name is not known"),
        (("127.0.0.1:", "127.0.0.1:1"), "cannot be reached"),
    ],
)
def test_what_cannot_be_opened_is_said_in_one_sentence(
    postgres_url: str, change: tuple[str, str], said: str
) -> None:
    url = postgres_url.replace(*change)
    if "127.0.0.1:1" in url:
        url = "postgresql://assent:c4nary@127.0.0.1:1/db"
    with pytest.raises(Unavailable) as error:
        open_store(url.replace("postgresql://", "postgresql+psycopg://"), mac=mac)
    assert said in error.value.message
    assert "c4nary" not in str(error.value)
    assert error.value.__cause__ is None
    assert error.value.__suppress_context__


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_that_cannot_hold_every_text_is_refused(
    postgres_cluster: str, encoding: str
) -> None:
    with psycopg.connect(postgres_cluster, autocommit=True) as connection:
        connection.execute(
            f"CREATE DATABASE narrow ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"
        )
        try:
            with pytest.raises(AssentError) as error:
                open_store(postgres_cluster.rsplit("/", 1)[0] + "/narrow", mac=mac)
        finally:
            connection.execute("DROP DATABASE narrow WITH (FORCE)")
    assert error.value.code == "database_encoding"
    assert encoding in error.value.message
    assert "UTF8" in error.value.message


@pytest.mark.parametrize("way", ["url", "environment"])
def test_options_of_the_url_and_of_the_environment_are_heeded(
    empty_postgres_url: str, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    with psycopg.connect(empty_postgres_url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA own")
    url = empty_postgres_url
    if way == "url":
        url += "?options=-csearch_path%3Down"
    else:
        monkeypatch.setenv("PGOPTIONS", "-csearch_path=own")
    store = open_store(url, mac=mac)
    put(store, 1)
    assert ids(store) == {"n1"}
    store.close()
    with psycopg.connect(empty_postgres_url) as connection:
        found = connection.execute(
            "SELECT DISTINCT schemaname FROM pg_tables WHERE schemaname IN ('own', 'public')"
        ).fetchall()
    assert found == [("own",)]


def test_another_versions_tables_are_refused(database_url: str) -> None:
    store = open_store(database_url, mac=mac)
    do(store, "UPDATE alembic_version SET version_num = '9999'")
    store.close()
    with pytest.raises(AssentError) as error:
        open_store(database_url, mac=mac)
    assert error.value.code == "schema_newer"


def test_a_second_process_does_not_serve_one_sqlite_file(sqlite_url: str) -> None:
    serving = open_store(sqlite_url, mac=mac, serving=True)
    beside = open_store(sqlite_url, mac=mac)  # a command beside the service
    put(beside, 1)
    beside.close()
    with pytest.raises(Unavailable) as error:
        open_store(sqlite_url, mac=mac, serving=True)
    assert error.value.code == "database_served"
    serving.close()
    open_store(sqlite_url, mac=mac, serving=True).close()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write what is read-only")
def test_a_read_only_file_is_said_to_be_read_only(sqlite_url: str) -> None:
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    path.chmod(0o400)
    with pytest.raises(Unavailable, match="read-only"):
        open_store(sqlite_url, mac=mac)


def test_a_file_that_became_read_only_is_said_to_be_so(sqlite_url: str) -> None:
    store = open_store(sqlite_url, mac=mac)
    put(store, 1)

    def read_only(connection: object, _entry: object) -> None:
        connection.execute("PRAGMA query_only=ON")  # type: ignore[attr-defined]

    store._engine.dispose()
    event.listen(store._engine, "connect", read_only)
    with pytest.raises(Unavailable, match="read-only"):
        put(store, 2)
    assert store.health.fault == "read_only"
    assert ids(store) == {"n1"}
    store.close()


@pytest.mark.parametrize("content", [b"not a database at all" * 100, b""])
def test_a_file_that_is_no_database_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "assent.db"
    path.write_bytes(content)
    with contextlib.ExitStack() as stack:
        if content:
            error = stack.enter_context(pytest.raises(Unavailable))
        open_store(f"sqlite:///{path}", mac=mac).close()
    if content:
        assert "damaged" in error.value.message
        assert error.value.place == str(path)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as error:
        open_store(f"sqlite:///{tmp_path / 'nowhere' / 'assent.db'}", mac=mac)
    assert error.value.place == str(tmp_path / "nowhere" / "assent.db")


def test_errors_of_the_operating_system_and_of_the_pool_are_translated() -> None:
    for error, name in (
        (OSError(24, "Too many open files", "/home/c4nary"), "system"),
        (PoolTimeout(), "pool"),
        (psycopg.InterfaceError("the connection is closed"), "lost"),
    ):
        fault = fault_of(error)
        assert fault is not None
        assert fault.name == name
        assert "c4nary" not in fault.sentence
    assert fault_of(ValueError()) is None
    assert fault_of(sqlite.IntegrityError()) is None
