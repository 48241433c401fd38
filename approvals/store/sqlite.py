"""The SQLite file: the library, its settings, its modes, and who may serve it.

The library is the bundled one and not the system's: SQLite versions before 3.51.3 can corrupt a
write-ahead log under concurrent connections. Writers queue for one lock in the process instead of
polling SQLite's; `synchronous=FULL` makes a commit durable before it is answered.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from typing import TYPE_CHECKING, Any, Final

from pysqlite3 import dbapi2 as sqlite
from sqlalchemy import create_engine, event

from approvals.core.errors import Unavailable
from approvals.store import deadline

if TYPE_CHECKING:
    from sqlalchemy import URL, Engine
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry

OLDEST_SAFE: Final = (3, 51, 3)
LEAVING_SECONDS: Final = 3.0
"""For which a former process that is just being ended may still hold the file."""

MEMORY: Final = frozenset({None, "", ":memory:"})


def connect(url: URL, *, size: int, seconds: float) -> Engine:
    """An engine whose transactions wait at most `seconds` for a lock of another process.

    Raises:
        Unavailable: the SQLite library is one that can corrupt a write-ahead log.
    """
    if sqlite.sqlite_version_info < OLDEST_SAFE:
        raise Unavailable(
            f"SQLite {sqlite.sqlite_version} can corrupt a database under concurrent use; "
            "3.51.3 or newer is needed",
            code="sqlite_too_old",
        )
    engine = create_engine(
        url,
        module=sqlite,
        pool_size=size,
        max_overflow=0,
        pool_timeout=min(seconds, deadline.SECONDS),
        connect_args={"check_same_thread": False, "timeout": seconds},
        hide_parameters=True,
    )

    def prepare(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        # The driver must not open transactions by itself: `_begin` does, with the right kind.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={round(seconds * 1000)}")
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    event.listen(engine, "connect", prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _begin(connection: Any) -> None:
    writes = connection.get_execution_options().get("writes", False)
    if writes:
        left = deadline.left()
        if left is not None:
            connection.exec_driver_sql(f"PRAGMA busy_timeout={max(0, round(left * 1000))}")
    # IMMEDIATE takes the write lock at once: a transaction that reads first and writes later could
    # otherwise fail half way because another writer came between.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def make_private(url: URL) -> None:
    """Make a new SQLite file for its owner alone: it holds payloads, and its folder may be open.

    SQLite gives its `-wal` and `-shm` the same mode. A file that is there keeps the mode it has.
    """
    if url.database is not None and url.database not in MEMORY:
        # What is wrong with the folder is said by SQLite, in the words for every database.
        with contextlib.suppress(OSError):
            os.close(os.open(url.database, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


class Served:
    """The lock of the one process that serves a SQLite file, held until `release` or its end.

    Commands beside it (`log check`, `people invite`) do not take it: SQLite's own locks are enough
    for them. A second service would wake nobody who waits at the first.
    """

    def __init__(self, database: str) -> None:
        """Take the lock, a file beside the database.

        Raises:
            Unavailable: another process serves it (`database_served`).
        """
        path = f"{database}.serving"
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        ends = time.monotonic() + LEAVING_SECONDS
        while not self._taken() and time.monotonic() < ends:
            time.sleep(0.05)
        if not self._taken():
            os.close(self._file)
            raise Unavailable(
                "another process serves this SQLite file: stop it first, or use PostgreSQL "
                "for several processes",
                code="database_served",
                place=database,
            )

    def _taken(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """Let another process serve the file."""
        os.close(self._file)
