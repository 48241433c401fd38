"""A service that was started once, to go on with in many tests: its home, its rows, its people.

To enrol people anew takes most of the time of many tests. What is copied here was made by the real
way, in this process and within the last few minutes.
"""

from __future__ import annotations

import contextlib
import copy
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg import sql
from pysqlite3 import dbapi2 as sqlite

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from approvals.policy.bundle import Bundle
    from tests.service import Running

PEOPLED: Final = ("passkeys", "sessions", "tokens")
FRESH_SECONDS: Final = 300
"""For so long what was made is taken for new: nobody is signed out, no event waits too long."""


@dataclass(frozen=True)
class Started:
    """What a started service left: the files of its home, its database, and who holds what."""

    made: float
    files: Mapping[str, bytes]
    database: Sqlite | Postgres
    enforcer_jwk: dict[str, str]
    people: Mapping[str, Any]
    bundles: Mapping[tuple[str, str], Bundle]

    @classmethod
    def of(cls, running: Running, *, home: Path, database: str) -> Started:
        """Keep what a service has that was started this moment."""
        return cls(
            made=time.monotonic(),
            files={
                path.relative_to(home).as_posix(): path.read_bytes()
                for path in home.rglob("*")
                if path.is_file()
            },
            database=(Sqlite if database.startswith("sqlite") else Postgres).read(database),
            enforcer_jwk=running.enforcer_jwk,
            people={name: copy.deepcopy(getattr(running, name)) for name in PEOPLED},
            bundles=dict(running.service._bundles),
        )

    def is_fresh(self) -> bool:
        """Whether it still stands for a service that was started now."""
        return time.monotonic() - self.made < FRESH_SECONDS

    def lay(self, home: Path, database: str) -> bool:
        """Write it into an empty home and database; false, and nothing written, if one is not."""
        if home.exists() or not self.database.write(database):
            return False
        for name, content in self.files.items():
            path = home / name
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.touch(mode=0o600)
            path.write_bytes(content)
        return True

    def move_in(self, running: Running) -> None:
        """Give a service that was opened on it its people."""
        for name, value in copy.deepcopy(dict(self.people)).items():
            setattr(running, name, value)
        running.service._bundles.update(self.bundles)


def _path(url: str) -> str:
    return url.removeprefix("sqlite:///")


@dataclass(frozen=True)
class Sqlite:
    """An SQLite database, held in memory."""

    kept: sqlite.Connection

    @classmethod
    def read(cls, url: str) -> Sqlite:
        """The whole database."""
        kept = sqlite.connect(":memory:", check_same_thread=False)
        with contextlib.closing(sqlite.connect(_path(url))) as source:
            source.backup(kept)
        return cls(kept)

    def write(self, url: str) -> bool:
        """Put it in the place of a new database."""
        with contextlib.closing(sqlite.connect(_path(url))) as found:
            made = "SELECT count(*) FROM sqlite_schema WHERE name = 'activation'"
            if found.execute(made).fetchone() == (0,):
                return False
            if found.execute("SELECT count(*) FROM activation").fetchone() != (0,):
                return False
            self.kept.backup(found)
        return True


@dataclass(frozen=True)
class Postgres:
    """The rows of a PostgreSQL database, as COPY writes them, and where its sequences stand."""

    rows: Mapping[str, bytes]
    sequences: Mapping[str, int]

    @classmethod
    def read(cls, url: str) -> Postgres:
        """All rows of all tables that have some."""
        with psycopg.connect(url) as connection:
            tables = connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            ).fetchall()
            sequences = connection.execute(
                "SELECT sequencename, last_value FROM pg_sequences WHERE last_value IS NOT NULL"
            ).fetchall()
            return cls({name: _copied(connection, name) for (name,) in tables}, dict(sequences))

    def write(self, url: str) -> bool:
        """Put these rows in the place of those that a new database has."""
        with psycopg.connect(url) as connection:
            if connection.execute("SELECT count(*) FROM activation").fetchone() != (0,):
                return False
            connection.execute("SET session_replication_role = replica")  # in any order
            for name, rows in self.rows.items():
                table = sql.Identifier(name)
                connection.execute(sql.SQL("DELETE FROM {}").format(table))
                if rows:
                    with connection.cursor().copy(
                        sql.SQL("COPY {} FROM STDIN").format(table)
                    ) as copying:
                        copying.write(rows)
            for name, value in self.sequences.items():
                connection.execute("SELECT setval(%s::regclass, %s)", [name, value])
        return True


def _copied(connection: psycopg.Connection, name: str) -> bytes:
    with connection.cursor().copy(
        sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(name))
    ) as copying:
        return b"".join(bytes(part) for part in copying)
