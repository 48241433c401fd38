"""The few statements that the two databases write differently, and what statements changed."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import insert
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import CursorResult, Insert, Result, Select
    from sqlmodel import Session, SQLModel


def insert_row(session: Session, row: type[SQLModel], values: Mapping[str, object]) -> None:
    """Insert a row at once. A statement that is made once costs a fraction of the unit of work."""
    session.connection().execute(_plain_insert(row), values)


@cache
def _plain_insert(row: type[SQLModel]) -> Insert:
    return insert(row.metadata.tables[str(row.__tablename__)])


def insert_new(session: Session, row: type[SQLModel], values: Mapping[str, object]) -> bool:
    """Insert a row unless one with the same key is there. True if this call inserted it.

    A concurrent insert of the same key waits for the other transaction to end.
    """
    statement = _insert(session, row).values(**values).on_conflict_do_nothing()
    return changed(session.execute(statement, execution_options=_COUNTED)) == 1


def insert_new_from(
    session: Session, row: type[SQLModel], columns: list[str], source: Select[*tuple[Any, ...]]
) -> bool:
    """Insert what `source` selects unless its key is there. True if this call inserted a row."""
    statement = _insert(session, row).from_select(columns, source).on_conflict_do_nothing()
    return changed(session.execute(statement, execution_options=_COUNTED)) == 1


def insert_or_lock(
    session: Session,
    row: type[SQLModel],
    values: Mapping[str, object],
    *,
    returning: tuple[str, ...],
) -> tuple[Any, ...]:
    """Insert a row, or lock the one that has its key until this ends; gives what it then holds.

    One round trip. A concurrent transaction with the same key is waited for.
    """
    dialect = session.get_bind().dialect.name
    return tuple(session.connection().execute(_upsert(dialect, row, returning), values).one())


@cache
def _upsert(dialect: str, row: type[SQLModel], returning: tuple[str, ...]) -> Any:
    table = row.metadata.tables[str(row.__tablename__)]
    made = sqlite_insert if dialect == "sqlite" else postgresql_insert
    keys = [*table.primary_key.columns]
    # An update that changes nothing: it takes the lock, and RETURNING gives the newest version.
    return (
        made(table)
        .on_conflict_do_update(index_elements=keys, set_={keys[0]: keys[0]})
        .returning(*(table.columns[name] for name in returning))
    )


def add_counts(
    session: Session, row: type[SQLModel], values: Sequence[Mapping[str, object]]
) -> None:
    """Insert rows of a table with a `count`; where one is there, add to its count instead.

    Concurrent additions to one row wait for each other, and all of them count.
    """
    session.connection().execute(_adding(row, session.get_bind().dialect.name), list(values))


@cache
def _adding(row: type[SQLModel], dialect: str) -> Any:
    made = sqlite_insert if dialect == "sqlite" else postgresql_insert
    table = row.metadata.tables[str(row.__tablename__)]
    new = made(table)
    return new.on_conflict_do_update(
        index_elements=list(table.primary_key), set_={"count": table.c.count + new.excluded.count}
    )


# Without it, how many rows an INSERT added is not kept, and looks like none.
_COUNTED = {"preserve_rowcount": True}


def _insert(session: Session, row: type[SQLModel]) -> Any:
    """An INSERT into the row's table, in the dialect that knows ON CONFLICT."""
    made = sqlite_insert if session.get_bind().dialect.name == "sqlite" else postgresql_insert
    return made(row.metadata.tables[str(row.__tablename__)])


def changed(result: Result[Any]) -> int:
    """How many rows an INSERT, UPDATE or DELETE changed."""
    return cast("CursorResult[Any]", result).rowcount
