"""Seals: the service knows the rows that it wrote itself.

A row that grants something has a seal: an HMAC-SHA-256, under a key that is not in the database,
over the name of the table and every column that carries meaning, the primary key and the tenant
among them. So a row that was edited, invented, or copied from another row has no seal that holds.

What holds:
1. Every such row that a query loads is checked as it is loaded, whichever query it was. One whose
   seal does not hold raises `row_altered`: nothing is shown, counted, granted or signed from it.
2. Such a row is written only through `add`, `add_new`, `add_new_from` and `change`, which seal it;
   the column has no default, so a row cannot be inserted without a seal.
3. A list may leave such a row out, where nothing is granted or signed from the list (`sound`). It
   is never silent: each one is logged as an error.

What a seal cannot show: that a row is missing, or is one that the service itself wrote earlier.
The events of the log show that.

The text under the seal is the tag, the table and then each column in the order of the names, every
part with its kind and its length, so that no two rows have the same text.
"""

from __future__ import annotations

import hmac
from functools import cache
from typing import TYPE_CHECKING, Final, TypeVar

import structlog
from sqlalchemy import event, insert, literal
from sqlalchemy import inspect as mapped

from approvals.core.errors import Unavailable
from approvals.store.rows.sealed import SealedRow
from approvals.store.statements import insert_new, insert_new_from, insert_row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any, TypeAlias

    from sqlalchemy import Select
    from sqlalchemy.orm import Session as PlainSession
    from sqlalchemy.orm.context import QueryContext
    from sqlmodel import Session
    from sqlmodel.sql.expression import SelectOfScalar

    Mac: TypeAlias = Callable[[bytes], bytes]

Row = TypeVar("Row", bound=SealedRow)

TAG: Final = b"assent/seal/1"
ROW_ALTERED: Final = "row_altered"

_LEAVE_OUT: Final = "assent_leave_out"
_BROKEN: Final = "_assent_broken_seal"
_log = structlog.get_logger(__name__)


class Seals:
    """What makes and checks seals: `mac` is HMAC-SHA-256 under the key of the key folder."""

    def __init__(self, mac: Mac) -> None:
        self._mac = mac

    def of(self, row: type[SealedRow], values: Mapping[str, object]) -> bytes:
        """The seal of a row with these values; columns that are not given are null."""
        return self._mac(text(row, values))

    def holds(self, row: type[SealedRow], values: Mapping[str, object]) -> bool:
        """Whether the row with these values, its seal among them, is one that the service wrote."""
        seal = values.get("seal")
        try:
            expected = self.of(row, values)
        except TypeError:  # SQLite keeps a value of any type in any column
            return False
        return isinstance(seal, bytes) and hmac.compare_digest(seal, expected)


@cache
def sealed_columns(row: type[SealedRow]) -> tuple[str, ...]:
    """The columns that the seal of this table covers, in the order of their names."""
    names = {column.name for column in row.metadata.tables[str(row.__tablename__)].columns}
    return tuple(sorted(names - row.unsealed - {"seal"}))


@cache
def _prefixes(row: type[SealedRow]) -> tuple[bytes, tuple[tuple[str, bytes], ...]]:
    """What is the same for every row: the table, and how each column begins."""
    table = str(row.__tablename__).encode()
    head = b"%s\x00%d:%s" % (TAG, len(table), table)
    return head, tuple(
        (name, b"%d:%s" % (len(name), name.encode())) for name in sealed_columns(row)
    )


def text(row: type[SealedRow], values: Mapping[str, object]) -> bytes:
    """The text under the seal.

    Raises:
        TypeError: a value is of a type that no column has.
    """
    head, columns = _prefixes(row)
    parts = [head]
    for name, prefix in columns:
        value = values.get(name)
        parts.append(prefix)
        if value is None:
            parts.append(b"n")
        elif isinstance(value, str):
            # What no encoding can hold was not written by the service, and still has one text.
            octets = value.encode("utf-8", "surrogatepass")
            parts.append(b"s%d:%s" % (len(octets), octets))
        elif isinstance(value, int):  # a bool is the 0 or 1 that it is stored as
            parts.append(b"i%d;" % value)
        elif isinstance(value, bytes):
            parts.append(b"b%d:%s" % (len(value), value))
        else:
            raise TypeError(f"{row.__tablename__}.{name} holds a {type(value).__name__}")
    return b"".join(parts)


def seals_of(session: PlainSession) -> Seals:
    """The seals of the store that the session belongs to."""
    seals: Seals = session.info["seals"]
    return seals


# -- writing --------------------------------------------------------------------------------------


def add(session: Session, row: type[SealedRow], values: Mapping[str, object]) -> None:
    """Insert a sealed row at once."""
    insert_row(session, row, with_seal(session, row, values))


def add_all(session: Session, row: type[SealedRow], rows: Iterable[Mapping[str, object]]) -> None:
    """Insert sealed rows in one statement."""
    sealed = [with_seal(session, row, values) for values in rows]
    if sealed:
        session.execute(insert(row), sealed)


def add_new(session: Session, row: type[SealedRow], values: Mapping[str, object]) -> bool:
    """Insert a sealed row unless one with the same key is there. True if this call inserted it."""
    return insert_new(session, row, with_seal(session, row, values))


def add_new_from(
    session: Session,
    row: type[SealedRow],
    values: Mapping[str, object],
    source: Callable[..., Select[*tuple[Any, ...]]],
) -> bool:
    """Insert a sealed row where `source` selects something and its key is not there.

    `source` is given the values as literals to select. True if this call inserted the row.
    """
    sealed = with_seal(session, row, values)
    table = row.metadata.tables[str(row.__tablename__)]
    selected = source(*(literal(value, table.c[name].type) for name, value in sealed.items()))
    return insert_new_from(session, row, list(sealed), selected)


def change(session: Session, *loaded: SealedRow, **values: object) -> None:
    """Change rows that were loaded, and their seals with them. Who changes a row holds its lock."""
    for row in loaded:
        for name, value in values.items():
            setattr(row, name, value)
        row.seal = seals_of(session).of(type(row), row.__dict__)
    session.flush()


def with_seal(
    session: Session, row: type[SealedRow], values: Mapping[str, object]
) -> dict[str, object]:
    """The values of a sealed row, its seal among them."""
    return {**values, "seal": seals_of(session).of(row, values)}


# -- reading --------------------------------------------------------------------------------------


def altered(table: str, *key: object) -> Unavailable:
    """Log that a row is not as the service wrote it, and make the error that says so."""
    _log.error(ROW_ALTERED, table=table, key=[str(part) for part in key])
    return Unavailable(
        f"a stored row ({table}) is not as this service wrote it, so nothing is done with it; "
        "assent log check names the row",
        code=ROW_ALTERED,
    )


def check(session: Session, row: type[SealedRow], values: Mapping[str, object]) -> None:
    """Check a row that was read by its columns; `values` has all of them.

    Raises:
        Unavailable: its seal does not hold (`row_altered`).
    """
    if not seals_of(session).holds(row, values):
        keys = mapped(row).primary_key
        raise altered(str(row.__tablename__), *(values.get(column.name) for column in keys))


def sound(session: Session, query: SelectOfScalar[Row]) -> list[Row]:
    """The rows of a list without those whose seal does not hold; each of these is logged.

    For lists from which nothing is granted or signed: one bad row must not hide the others.
    """
    rows = session.exec(query, execution_options={_LEAVE_OUT: True}).all()
    return [row for row in rows if _BROKEN not in row.__dict__]


def _check(row: SealedRow, context: QueryContext, *_: object) -> None:
    session = context.session
    if seals_of(session).holds(type(row), row.__dict__):
        return
    error = altered(str(row.__tablename__), *mapped(type(row)).primary_key_from_instance(row))
    if not context.execution_options.get(_LEAVE_OUT, False):
        raise error
    row.__dict__[_BROKEN] = True


for _moment in ("load", "refresh"):
    event.listen(SealedRow, _moment, _check, propagate=True)
