"""A row that somebody else wrote is not a row: every table that grants, every column."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from sqlmodel import SQLModel, select

from approvals.core.errors import Unavailable
from approvals.store import rows, seals
from tests.intruder import Intruder, other_values, table_of
from tests.populated import populated
from tests.seals import mac

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from approvals.store import Store

SEALED = sorted(rows.SealedRow.__subclasses__(), key=lambda row: str(row.__tablename__))

UNSEALED = {
    ("request", "open_key"): "an index: it is computed anew from the request that it leads to",
    ("request", "repeats"): "how often an identical call came; the log tells each of them",
    ("request", "follow_at"): "when somebody is reminded; nothing is granted by it",
    ("staged", "id"): "the order of the line; the events are numbered themselves",
}
"""Columns that carry no meaning, with the reason."""

GRANTS_NOTHING = {
    "notice": "whom to tell of what; what is told is drawn from the sealed request",
    "callback": "chat callbacks that were taken; each vote is kept once by its own key",
    "leaf": "checked by the Merkle tree and the signed checkpoints",
    "node": "checked by the Merkle tree and the signed checkpoints",
    "checkpoint": "signed",
}
"""Tables without seals, with the reason."""


def test_every_table_and_column_is_sealed_or_has_its_reason() -> None:
    sealed = {str(row.__tablename__) for row in SEALED}
    assert sealed | GRANTS_NOTHING.keys() == SQLModel.metadata.tables.keys()
    assert not sealed & GRANTS_NOTHING.keys()
    left = {(str(row.__tablename__), name) for row in SEALED for name in row.unsealed}
    assert left == UNSEALED.keys()
    for row in SEALED:
        assert {*seals.sealed_columns(row), *row.unsealed, "seal"} == set(
            table_of(row).columns.keys()
        )


@pytest.fixture
def database(tmp_path: Path, database_url: str) -> Iterator[tuple[Store, Intruder]]:
    running = populated(tmp_path, database_url)
    intruder = Intruder.at(database_url)
    yield running.service.store, intruder
    intruder.engine.dispose()
    running.service.store.close()


def refused(store: Store, row: type[rows.SealedRow]) -> bool:
    """Whether a query that loads the table's rows is refused."""
    try:
        with store.read() as tx:
            tx.session.exec(select(row)).all()
    except Unavailable as error:
        return error.code == "row_altered"
    return False


def test_a_row_that_was_edited_or_swapped_or_copied_is_refused(
    database: tuple[Store, Intruder],
) -> None:
    store, intruder = database
    passed = []
    for row in SEALED:
        table = table_of(row)
        before = intruder.rows(table)
        assert len(before) > 1, f"{table.name}: too few rows to swap"
        assert not refused(store, row)
        for column in table.columns:
            if column.name in row.unsealed:
                continue
            for value in other_values(column, before[0][column.name]):
                intruder.edit(table, before[0], **{column.name: value})
                if not refused(store, row):
                    passed.append((table.name, column.name, "edited", value))
                intruder.put_back(table, before)
            # Another row's value, and other rows of this database at that.
            for one, another in pairwise(before):
                if one[column.name] == another[column.name] or column.primary_key or column.unique:
                    continue
                intruder.edit(table, one, **{column.name: another[column.name]})
                if not refused(store, row):
                    passed.append((table.name, column.name, "swapped", another[column.name]))
                intruder.put_back(table, before)
                break
        fresh = {
            column.name: other_values(column, before[0][column.name])[0]
            for column in table.columns
            if (column.primary_key or column.unique) and column.name not in row.unsealed
        }
        intruder.insert(table, {**before[0], **fresh, **dict.fromkeys(row.unsealed)}) if (
            fresh
        ) else None
        if fresh and not refused(store, row):
            passed.append((table.name, "", "copied", fresh))
        intruder.put_back(table, before)
        assert not refused(store, row)
    assert passed == []


def test_a_row_from_a_database_with_another_key_is_refused(
    database: tuple[Store, Intruder],
) -> None:
    store, _ = database
    values = {"tenant": "default", "person": "eve", "handle": b"e" * 32}
    foreign = {**values, "seal": seals.Seals(mac).of(rows.HandleRow, values)}
    with store.begin() as tx:
        tx.session.execute(table_of(rows.HandleRow).insert().values(**foreign))
    with store.read() as tx, pytest.raises(Unavailable) as caught:
        tx.people.known_handle(tenant="default", person="eve")
    assert caught.value.code == "row_altered"


def listed(store: Store) -> set[str]:
    with store.read() as tx:
        return {line.id for line in tx.requests.asked(tenant="default", person="ada", limit=100)}


def test_a_list_leaves_a_bad_row_out_and_says_so(
    database: tuple[Store, Intruder], capsys: pytest.CaptureFixture[str]
) -> None:
    store, intruder = database
    table = table_of(rows.RequestRow)
    before = listed(store)
    victim = next(row for row in intruder.rows(table) if row["id"] in before)
    intruder.edit(table, victim, display=victim["display"].replace("a", "b"))
    capsys.readouterr()
    assert listed(store) == before - {victim["id"]}
    said = capsys.readouterr().out
    assert "row_altered" in said
    assert victim["id"] in said


def test_two_rows_never_have_one_text() -> None:
    texts: list[dict[str, object]] = [
        {"tenant": "a", "person": "b", "handle": b"c"},
        {"tenant": "a", "person": "b", "handle": "c"},
        {"tenant": "a", "person": None, "handle": b"c"},
        {"tenant": "a", "person": "n", "handle": b"c"},
        {"tenant": "ab", "person": "", "handle": b"c"},
        {"tenant": "a", "person": "b6:tenant", "handle": b"c"},
        {"tenant": 1, "person": "b", "handle": b"c"},
        {"tenant": "1", "person": "b", "handle": b"c"},
    ]
    made = [seals.text(rows.HandleRow, values) for values in texts]
    assert len(set(made)) == len(made)
    assert seals.text(rows.SessionRow, texts[0]) != seals.text(rows.HandleRow, texts[0])
