"""Reads every sealed row for the check of the whole database, also rows with a broken seal.

What holds: tables are read a few rows at a time, so memory does not grow with them. A row whose
seal does not hold is returned with `sound=False`, instead of raising as ordinary queries do.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from sqlalchemy import collate, literal_column, select, tuple_, union_all

from approvals.store.rows.log import LeafRow, StagedRow
from approvals.store.rows.sealed import SealedRow
from approvals.store.seals import seals_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from sqlalchemy import Table
    from sqlmodel import Session

Key: TypeAlias = tuple[object, ...]

CHUNK: Final = 500
_STREAMED: Final = {"yield_per": CHUNK}
_SEALED: Final[Mapping[str, type[SealedRow]]] = {
    str(row.__tablename__): row for row in SealedRow.__subclasses__()
}


@dataclass(frozen=True, slots=True)
class Record:
    """A row of a table: its primary key, its columns, and whether its seal holds."""

    table: str
    key: Key
    values: Mapping[str, Any]
    sound: bool

    @property
    def place(self) -> str:
        """Its name for people."""
        return place(self.table, self.key)


def place(table: str, key: Key) -> str:
    """The name of a row for people: `request default req_…`."""
    return " ".join([table, *(str(part) for part in key)])


class Records:
    """The sealed rows of a transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def tables(self) -> list[str]:
        """The names of the tables whose rows are sealed."""
        return sorted(_SEALED)

    def every(self, table: str) -> Iterator[Record]:
        """Every row of a table, a few at a time."""
        found = self._session.connection().execute(
            select(_table(table)), execution_options=_STREAMED
        )
        for row in found.mappings():
            yield self._record(table, dict(row))

    def some(self, table: str, keys: Collection[Key]) -> dict[Key, Record]:
        """The rows with these primary keys, as far as there are any."""
        wanted, records = [*keys], {}
        columns = [*_table(table).primary_key.columns]
        for start in range(0, len(wanted), CHUNK):
            found = self._session.connection().execute(
                select(_table(table)).where(tuple_(*columns).in_(wanted[start : start + CHUNK]))
            )
            for row in found.mappings():
                record = self._record(table, dict(row))
                records[record.key] = record
        return records

    def _record(self, table: str, values: dict[str, Any]) -> Record:
        key = tuple(values[column.name] for column in _table(table).primary_key.columns)
        return Record(table, key, values, seals_of(self._session).holds(_SEALED[table], values))

    def subjects(self) -> Iterator[tuple[str, list[tuple[bytes, str]]]]:
        """(subject, leaves with their openings, in order) of every subject in the log."""
        octets = "BINARY" if self._session.get_bind().dialect.name == "sqlite" else "C"
        parts = [
            select(
                collate(row.tenant, octets).label("tenant"),
                collate(row.subject, octets).label("subject"),
                literal_column(str(kind)).label("kind"),
                number.label("number"),
                row.leaf.label("leaf"),
                row.opening.label("opening"),
            ).where(row.subject.is_not(None))
            for kind, row, number in (
                (0, LeafRow.__table__.c, LeafRow.__table__.c.index),  # type: ignore[attr-defined]
                (1, StagedRow.__table__.c, StagedRow.__table__.c.id),  # type: ignore[attr-defined]
            )
        ]
        whole = union_all(*parts).subquery()
        order = whole.c.tenant, whole.c.subject, whole.c.kind, whole.c.number
        found = self._session.connection().execute(
            select(whole).order_by(*order), execution_options=_STREAMED
        )
        for (_, subject), rows in groupby(found, key=itemgetter(0, 1)):
            yield subject, [(bytes(row.leaf), row.opening) for row in rows]


def _table(name: str) -> Table:
    return SealedRow.metadata.tables[name]
