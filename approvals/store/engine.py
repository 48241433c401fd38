"""Databases: one SQLite file for one machine, PostgreSQL for many processes. The same code on both.

SQLite is the bundled, current library, not the system's: versions before 3.51.3 can corrupt a
write-ahead log under concurrent connections. Writers queue for one lock in the process instead of
polling SQLite's; `synchronous=FULL` makes a commit durable before it is answered.
PostgreSQL runs at READ COMMITTED; what must be serial locks the row it is about (see the decision
records).
"""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic import command
from alembic.config import Config
from pysqlite3 import dbapi2 as sqlite
from sqlalchemy import URL, Engine, create_engine, event, make_url

from approvals.core.errors import Unavailable

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry

OLDEST_SAFE_SQLITE = (3, 51, 3)
BUSY_MILLISECONDS = 30_000


def connect(url: str) -> Engine:
    """Make the engine for a database URL (`sqlite:///FILE` or `postgresql+psycopg://…`).

    Raises:
        Unavailable: the SQLite library is one that can corrupt a write-ahead log.
    """
    if url.startswith("sqlite"):
        if sqlite.sqlite_version_info < OLDEST_SAFE_SQLITE:
            raise Unavailable(
                f"SQLite {sqlite.sqlite_version} can corrupt a database under concurrent use; "
                "3.51.3 or newer is needed",
                code="sqlite_too_old",
            )
        engine = create_engine(
            url,
            module=sqlite,
            pool_size=64,
            max_overflow=0,
            connect_args={"check_same_thread": False, "timeout": BUSY_MILLISECONDS / 1000},
        )
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    return create_engine(
        url,
        pool_size=48,
        max_overflow=16,
        pool_timeout=10,
        isolation_level="READ COMMITTED",
        connect_args={"connect_timeout": 5, "options": "-c synchronous_commit=on"},
    )


def _prepare_sqlite(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    # The driver must not open transactions by itself: `_begin_sqlite` does, with the right kind.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute(f"PRAGMA busy_timeout={BUSY_MILLISECONDS}")
    cursor.close()


def _begin_sqlite(connection: Any) -> None:
    writes = connection.get_execution_options().get("writes", False)
    # IMMEDIATE takes the write lock at once: a transaction that reads first and writes later could
    # otherwise fail half way because another writer came between.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def migrate(url: str) -> None:
    """Bring the database to the newest schema. Any number of processes may do so at once."""
    _make_private(make_url(url))
    migrations = Path(__file__).parent / "migrations"
    if not migrations.is_dir():  # a checkout, not an installed wheel
        migrations = Path(__file__).parents[2] / "alembic"
    config = Config()
    config.set_main_option("script_location", str(migrations))
    config.set_main_option("path_separator", "os")
    config.attributes["url"] = url
    with _quiet("alembic"):
        command.upgrade(config, "head")


def _make_private(url: URL) -> None:
    """Make a new SQLite file for its owner alone: it holds payloads, and its folder may be open.

    SQLite gives its `-wal` and `-shm` the same mode. A file that is there keeps the mode it has.
    """
    if url.get_backend_name() == "sqlite" and url.database and url.database != ":memory:":
        # What is wrong with the folder is said by SQLite, in the words for every database.
        with contextlib.suppress(OSError):
            os.close(os.open(url.database, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


@contextlib.contextmanager
def _quiet(name: str) -> Any:
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)
