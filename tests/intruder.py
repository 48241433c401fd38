"""Somebody who can write to the database, and has neither the keys nor the code."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Boolean, LargeBinary, and_, delete, insert, select, text, update
from sqlmodel import SQLModel

from approvals.store.engine import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Column, Connection, Engine, Table

Values = dict[str, Any]


@dataclass(frozen=True)
class Intruder:
    """Writes what they like, with no constraint in their way that an owner could drop."""

    engine: Engine

    @classmethod
    def at(cls, url: str) -> Intruder:
        return cls(connect(url).execution_options(writes=True))

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        with self.engine.connect() as connection:
            if self.engine.dialect.name == "sqlite":
                connection.exec_driver_sql("COMMIT")
                connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                connection.execute(text("SET session_replication_role = replica"))
            yield connection
            connection.commit()

    def rows(self, table: Table) -> list[Values]:
        with self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(select(table)).mappings()]

    def edit(self, table: Table, row: Values, **values: object) -> None:
        with self.writing() as connection:
            changed = connection.execute(update(table).where(_is(table, row)).values(**values))
            assert changed.rowcount == 1

    def delete(self, table: Table, row: Values) -> None:
        with self.writing() as connection:
            assert connection.execute(delete(table).where(_is(table, row))).rowcount == 1

    def insert(self, table: Table, row: Values) -> None:
        with self.writing() as connection:
            connection.execute(insert(table).values(**row))

    def exchange(self, table: Table, one: Values, another: Values, name: str) -> None:
        """Two rows exchange their values of a column."""
        with self.writing() as connection:
            for row in (one, another):
                connection.execute(delete(table).where(_is(table, row)))
            for row, value in ((one, another[name]), (another, one[name])):
                connection.execute(insert(table).values(**{**row, name: value}))

    def put_back(self, table: Table, rows: list[Values]) -> None:
        """The whole table as it was."""
        with self.writing() as connection:
            connection.execute(delete(table))
            if rows:
                connection.execute(insert(table), rows)


def _is(table: Table, row: Values) -> Any:
    return and_(*(column == row[column.name] for column in table.primary_key.columns))


def table_of(row: type[SQLModel]) -> Table:
    return SQLModel.metadata.tables[str(row.__tablename__)]


def other_values(column: Column[Any], value: object) -> list[object]:
    """Values that mean something else than `value` does."""
    if isinstance(column.type, Boolean):
        return [not value]
    if isinstance(column.type, LargeBinary):
        octets = value if isinstance(value, bytes) else b""
        return [octets + b"\x00", bytes(reversed(octets)) + b"\x01"]
    if column.type.python_type is str:
        others: list[object] = ["elsewhere", f"{value or ''}x", ""]
    else:
        others = [(value if isinstance(value, int) else 0) + 1000, -1]
    if column.nullable:
        others.append(None)
    return [other for other in others if other != value]
