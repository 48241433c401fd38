"""Connections to PostgreSQL: how each is made, what is set on it, how long it is waited for.

What holds for every connection, of the pool or beside it:
1. No wait for the server outlasts the deadline of the block (`deadline.within`), whatever became of
   the network. A connection that missed it is closed, because its state is not known.
2. Time limits for statements, locks and idle transactions are set on the server too, so that it
   ends what its client gave up.
3. A commit is on disk before it is answered, even where the server's default says otherwise.
4. The text of the URL decides everything else: `options=`, sslmode, search_path and the PG*
   variables of libpq mean what they mean for psql.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import create_engine, event
from sqlalchemy.exc import DisconnectionError

from approvals.core.errors import AssentError
from approvals.store import deadline
from approvals.store.faults import SLOW, Failed

if TYPE_CHECKING:
    from psycopg.abc import RV, PQGen
    from sqlalchemy import URL, Engine
    from sqlalchemy.engine.interfaces import DBAPIConnection, Dialect
    from sqlalchemy.pool import ConnectionPoolEntry

MIGRATION_SECONDS: Final = 120.0
"""How long a process waits for another one that migrates the database."""

STALE_SECONDS: Final = 1.0
"""A pooled connection that was not used for longer is tried before it is given out."""

TIMELINE: Final = "timeline"
_CONNECT_SECONDS: Final = 5
_DEFAULTS: Final[dict[str, str | int]] = {
    "connect_timeout": _CONNECT_SECONDS,
    "application_name": "assent",
    # A peer that is gone without a word is noticed in about 11 seconds, idle or not.
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 11_000,
}
_PREPARE: Final = """
SELECT set_config('statement_timeout', %(statement)s, false),
       set_config('lock_timeout', %(lock)s, false),
       set_config('idle_in_transaction_session_timeout', %(idle)s, false),
       set_config('synchronous_commit',
                  CASE WHEN current_setting('synchronous_commit') IN ('on', 'remote_apply')
                       THEN current_setting('synchronous_commit') ELSE 'on' END, false)
"""
_ENCODING: Final = "SELECT current_setting('server_encoding'), current_database()"
_TIMELINE: Final = "SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8)"


class Connection(psycopg.Connection[Any]):
    """A connection that nobody waits for beyond the deadline of the block.

    Outside of such a block each statement may take `patience` seconds.
    """

    patience = deadline.SECONDS

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """Wait for the server; close the connection when the deadline has passed.

        Raises:
            psycopg.OperationalError: without a SQLSTATE, when the server did not answer in time.
        """
        if timeout is not None:
            return super().wait(gen, interval, timeout)
        left = deadline.left()
        limit = self.patience if left is None else left
        try:
            return super().wait(gen, interval, max(limit, deadline.GRACE))
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                self.close()  # its answer is still to come and would be taken for another's
            raise


def parameters(url: URL) -> dict[str, Any]:
    """What libpq is told: the URL, and our defaults for what it leaves open."""
    _, given = url.get_dialect()().create_connect_args(url)
    return {**_DEFAULTS, **given, "client_encoding": "UTF8"}


def dial(url: URL, *, seconds: float) -> Connection:
    """A connection beside the pool, in autocommit mode.

    Raises:
        psycopg.Error: it cannot be made within about `seconds`.
    """
    wanted = {**parameters(url), "connect_timeout": max(2, round(seconds))}
    return Connection.connect(autocommit=True, **wanted)


def connect(url: URL, *, size: int, seconds: float) -> Engine:
    """An engine whose transactions take at most `seconds` for a statement or a lock."""
    engine = create_engine(
        url,
        pool_size=size,
        max_overflow=0,
        pool_timeout=min(seconds, deadline.SECONDS),
        isolation_level="READ COMMITTED",
        hide_parameters=True,
    )

    def made(
        _dialect: Dialect, _entry: ConnectionPoolEntry, _args: object, given: dict[str, Any]
    ) -> Connection:
        return Connection.connect(**{**_DEFAULTS, **given, "client_encoding": "UTF8"})

    def prepare(connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
        _prepare(connection, entry, seconds=seconds)  # type: ignore[arg-type]

    event.listen(engine, "do_connect", made)
    event.listen(engine, "connect", prepare)
    event.listen(engine, "checkout", _try)
    event.listen(engine, "checkin", _rest)
    event.listen(engine, "before_cursor_execute", _in_time)
    return engine


def _prepare(connection: Connection, entry: ConnectionPoolEntry, *, seconds: float) -> None:
    milliseconds = str(round(seconds * 1000))
    before, connection.autocommit = connection.autocommit, True
    try:
        row = connection.execute(_ENCODING).fetchone()
        if row is not None and row[0] != "UTF8":
            raise AssentError(
                f"the encoding of the database is {row[0]}, and Assent stores text of every "
                f"script: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0",
                code="database_encoding",
                place=str(row[1]),
            )
        connection.execute(
            _PREPARE,
            {
                "statement": milliseconds,
                "lock": milliseconds,
                "idle": str(round(deadline.IDLE_SECONDS * 1000)),
            },
        )
        # The server says first what it gave up, and why.
        connection.patience = seconds + deadline.GRACE
        entry.info[TIMELINE] = timeline(connection)
    finally:
        connection.autocommit = before


def check_pooler(url: URL) -> None:
    """Refuse a pooler that gives each transaction another session.

    A pooler is seen by the process id that it made up. One that pools transactions lets two idle
    connections share a server process. LISTEN, limits that were set and prepared statements belong
    to a session: with such a pooler they would be lost, or meet another client's.

    Raises:
        AssentError: `database_pooler`.
    """
    with dial(url, seconds=_CONNECT_SECONDS) as first, deadline.within(_CONNECT_SECONDS):
        process = _process(first)
        if process == first.info.backend_pid:
            return
        try:
            with dial(url, seconds=_CONNECT_SECONDS) as second:
                shared = _process(second) == process
        except psycopg.OperationalError:
            return  # a session of its own cannot be had just now: sessions are what is pooled
    if shared:
        raise AssentError(
            "the pooler in front of the database pools transactions, and Assent needs sessions: "
            "set pool_mode = session for it (pgbouncer), or connect to PostgreSQL itself",
            code="database_pooler",
            place=f"{url.host or ''}:{url.port or ''}",
        )


def _process(connection: Connection) -> int:
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    return 0 if row is None else int(row[0])


def timeline(connection: Connection) -> str | None:
    """The timeline of the server's history, where it tells: it changes with each failover.

    `connection` is in autocommit mode.
    """
    try:
        row = connection.execute(_TIMELINE).fetchone()
    except psycopg.DatabaseError:
        if connection.closed:
            raise
        return None  # a standby, or a server of another make
    return None if row is None else str(row[0])


def _try(connection: DBAPIConnection, entry: ConnectionPoolEntry, _proxy: object) -> None:
    """Try a connection that has rested before it is given out: its server may have restarted.

    Raising lets the pool make new connections, before anything was done on this one.
    """
    rested = entry.info.get("rested")
    if rested is None or time.monotonic() - rested < STALE_SECONDS:
        return
    driver: Connection = connection  # type: ignore[assignment]
    before = driver.autocommit
    try:
        driver.autocommit = True
        driver.execute("")
        driver.autocommit = before
    except psycopg.Error as error:
        raise DisconnectionError from error


def _rest(_connection: object, entry: ConnectionPoolEntry) -> None:
    entry.info["rested"] = time.monotonic()


def _in_time(*_: object) -> None:
    left = deadline.left()
    if left is not None and left <= 0:
        raise Failed(SLOW)
