"""Databases: one SQLite file for one machine, PostgreSQL for many processes. The same code on both.

PostgreSQL runs at READ COMMITTED; what must be serial locks the row it is about (see the decision
records).
"""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psycopg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from approvals.core.errors import AssentError, Unavailable
from approvals.store import deadline, postgres, sqlite
from approvals.store.faults import fault_of, signature

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import URL, Engine

POOL: Final = 64
"""Connections of one process at most; more than it has threads that use them."""

ASIDE: Final = 6
"""Connections for what must be answered while all others wait: two for each such route."""


def connect(url: str | URL, *, size: int = POOL, seconds: float = deadline.SECONDS) -> Engine:
    """Make the engine for a database URL (`sqlite:///FILE` or `postgresql+psycopg://…`).

    A transaction waits at most `seconds` for a lock, and on PostgreSQL for a statement.

    Raises:
        Unavailable: the SQLite library is one that can corrupt a write-ahead log.
    """
    made = make_url(url)
    connect_one = sqlite.connect if made.get_backend_name() == "sqlite" else postgres.connect
    return connect_one(made, size=size, seconds=seconds)


def migrate(url: str) -> None:
    """Bring the database to the newest schema. Any number of processes may do so at once.

    Raises:
        Unavailable: it cannot be reached, opened, written or used; the place says which it is.
        AssentError: a newer version made it (`schema_newer`), or its encoding is not UTF-8
            (`database_encoding`), or a pooler in front of it pools transactions
            (`database_pooler`).
    """
    made = make_url(url)
    if made.get_backend_name() == "sqlite":
        sqlite.make_private(made)
    else:
        with opening(made):
            postgres.check_pooler(made)
    migrations = Path(__file__).parent / "migrations"
    if not migrations.is_dir():  # a checkout, not an installed wheel
        migrations = Path(__file__).parents[2] / "alembic"
    config = Config()
    config.set_main_option("script_location", str(migrations))
    config.set_main_option("path_separator", "os")
    config.attributes["url"] = url
    try:
        with opening(made), _quiet("alembic"):
            command.upgrade(config, "head")
    except CommandError:
        known = ScriptDirectory.from_config(config).get_current_head()
        raise AssentError(
            "another version of Assent made these tables, and this one cannot read them "
            f"(it knows {known}): install that version, or use a database of its own",
            code="schema_newer",
            place=named(made),
        ) from None


@contextlib.contextmanager
def opening(url: URL) -> Iterator[None]:
    """Say what is wrong with the database of `url`, with no more of the URL than where it is."""
    try:
        yield
    except (SQLAlchemyError, psycopg.Error, OSError) as error:
        fault = fault_of(error)
        if fault is not None:
            raise Unavailable(fault.sentence, place=named(url)) from None
        said = ", ".join(f"{name} {value}" for name, value in signature(error).items())
        raise Unavailable(f"the tables cannot be made: {said}", place=named(url)) from None


def named(url: URL) -> str:
    """A database as messages name it: where it is, without user, password and options."""
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    host = url.host or ",".join(
        [value] if isinstance(value := url.query.get("host", "the default host"), str) else value
    )
    port = "" if url.port is None else f":{url.port}"
    return f"{host}{port}/{url.database or ''}"


@contextlib.contextmanager
def _quiet(name: str) -> Any:
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)
