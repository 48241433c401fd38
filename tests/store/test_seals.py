"""A row that somebody else wrote is not a row: every table that grants, every column."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from sqlmodel import SQLModel, select

from approvals.core.errors import Unavailable
from approvals.store import seals
from approvals.store.rows.calls import RequestRow
from approvals.store.rows.people import HandleRow, SessionRow
from approvals.store.rows.sealed import SealedRow
from tests.intruder import Intruder, Values, other_values, table_of
from tests.populated import populated
from tests.seals import mac

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Table

    from approvals.store import Store

SEALED = sorted(SealedRow.__subclasses__(), key=lambda row: str(row.__tablename__))

UNSEALED = {
    ("request", "open_key"): "an index: it is computed anew from the request that it leads to",
    ("request", "repeats"): "how often an identical call came; the log tells each of them",
    ("request", "follow_at"): "when somebody is reminded; nothing is granted by it",
    ("approval", "lapse_at"): "when it is recorded that nobody spent it; `expires` is what holds",
    ("staged", "id"): "the order of the line; the events are numbered themselves",
}
"""Columns that carry no meaning, with the reason."""

GRANTS_NOTHING = {
    "count": "limits are held to it; log check counts it again from the log",
    "notice": "whom to tell of what; what is told is drawn from the sealed request",
    "callback": "chat callbacks that were taken; each vote is kept once by its own key",
    "leaf": "checked by the Merkle tree and the signed checkpoints",
    "node": "checked by the Merkle tree and the signed checkpoints",
    "checkpoint": "signed",
    "standing": "what it says of the log is found again by the next round of the sequencer",
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


def refused(store: Store, row: type[SealedRow]) -> bool:
    """Whether a query that loads the table's rows is refused."""
    try:
        with store.read() as tx:
            tx.session.exec(select(row)).all()
    except Unavailable as error:
        return error.code == "row_altered"
    return False


def exchangeable(table: Table, before: list[Values], made: Values) -> bool:
    """Whether no third row has the key that a row would have after the exchange."""
    names = table.primary_key.columns.keys()
    of_another = [row for row in before if all(row[name] == made[name] for name in names)]
    return len(names) == 1 or of_another == []


def attacks(
    intruder: Intruder, row: type[SealedRow], before: list[Values]
) -> Iterator[tuple[str, ...]]:
    """Do one thing after another to a table that is as it was `before`, and tell what was done."""
    table = table_of(row)
    for column in table.columns:
        if column.name in row.unsealed:
            continue
        for value in other_values(column, before[0][column.name]):
            intruder.edit(table, before[0], **{column.name: value})
            yield table.name, column.name, "edited", str(value)
        differing = [
            (one, another)
            for one, another in pairwise(before)
            if one[column.name] != another[column.name]
            and exchangeable(table, before, {**one, column.name: another[column.name]})
            and exchangeable(table, before, {**another, column.name: one[column.name]})
        ]
        for one, another in differing[:1]:
            intruder.exchange(table, one, another, column.name)
            yield table.name, column.name, "exchanged"
    # A copy under another key; columns that nothing covers are as the intruder likes.
    fresh = {
        column.name: None if column.nullable else other_values(column, before[-1][column.name])[0]
        for column in table.columns
        if column.primary_key or column.unique
    }
    if not row.unsealed.issuperset(fresh):
        intruder.insert(table, {**before[-1], **fresh})
        yield table.name, "copied"


def test_a_row_that_was_edited_or_exchanged_or_copied_is_refused(
    database: tuple[Store, Intruder],
) -> None:
    store, intruder = database
    passed = []
    for row in SEALED:
        before = intruder.rows(table_of(row))
        assert len(before) > 1, f"{row.__tablename__}: too few rows"
        assert not refused(store, row)
        for attack in attacks(intruder, row, before):
            if not refused(store, row):
                passed.append(attack)
            intruder.put_back(table_of(row), before)
        assert not refused(store, row)
    assert passed == []


def test_a_row_from_a_database_with_another_key_is_refused(
    database: tuple[Store, Intruder],
) -> None:
    store, _ = database
    values = {"tenant": "default", "person": "eve", "handle": b"e" * 32}
    foreign = {**values, "seal": seals.Seals(mac).of(HandleRow, values)}
    with store.begin() as tx:
        tx.session.execute(table_of(HandleRow).insert().values(**foreign))
    with store.read() as tx, pytest.raises(Unavailable) as caught:
        tx.passkeys.known_handle(tenant="default", person="eve")
    assert caught.value.code == "row_altered"


def listed(store: Store) -> set[str]:
    with store.read() as tx:
        return {line.id for line in tx.lists.asked(tenant="default", person="ada", limit=100)}


def test_a_list_leaves_a_bad_row_out_and_says_so(
    database: tuple[Store, Intruder], capsys: pytest.CaptureFixture[str]
) -> None:
    store, intruder = database
    table = table_of(RequestRow)
    before = listed(store)
    victim = next(row for row in intruder.rows(table) if row["id"] in before)
    intruder.edit(table, victim, gist=victim["gist"].replace("0", "1"))
    capsys.readouterr()
    assert listed(store) == before - {victim["id"]}
    said = capsys.readouterr().err
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
    made = [seals.text(HandleRow, values) for values in texts]
    assert len(set(made)) == len(made)
    assert seals.text(SessionRow, texts[0]) != seals.text(HandleRow, texts[0])
