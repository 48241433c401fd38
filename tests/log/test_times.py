"""A time beside a checkpoint at which it cannot have been made is found."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from approvals.core.history.events import ClockRepaired
from approvals.core.history.leaves import parse_leaf
from approvals.log import append, check, sequence, wrong_times
from tests.log.logs import NOW, SIGNER, SIZES

if TYPE_CHECKING:
    from tests.log.memory import MemoryStore


def newest(store: MemoryStore, size: int) -> int:
    """The time of the newest event that the checkpoint of this size covers."""
    return max(parse_leaf(store.rows.leaf[index].leaf).event.time for index in range(size))


def made_in_time(store: MemoryStore) -> None:
    """Each checkpoint was made when its newest event happened."""
    for size, stored in list(store.rows.checkpoint.items()):
        store.rows.checkpoint[size] = dataclasses.replace(stored, created=newest(store, size))


def wrong_at(store: MemoryStore, size: int, created: int, *, now: int) -> set[str]:
    """The checkpoints with a wrong time, where the one of this size says that it was made then."""
    before = store.rows.checkpoint[size]
    store.rows.edit_checkpoint(size, created=created)
    report = check(store, vkeys=[SIGNER.vkey], now=now)
    assert all("assent log repair-clock" in each.message for each in report.findings)
    assert {each.code for each in report.findings} <= {"checkpoint_time"}
    with store.read() as tx:
        right = {each.size: each.right for each in wrong_times(tx.log, now=now)}
    assert {f"checkpoint {each}" for each in right} == {each.place for each in report.findings}
    for each, time in right.items():
        store.rows.edit_checkpoint(each, created=min(time, now))
    assert check(store, vkeys=[SIGNER.vkey], now=now).ok
    store.rows.checkpoint[size] = before
    return {each.place for each in report.findings}


@pytest.mark.parametrize("size", SIZES)
def test_a_time_beside_a_checkpoint_at_which_it_cannot_have_been_made_is_found(
    store: MemoryStore, size: int
) -> None:
    made_in_time(store)
    right, last = newest(store, size), newest(store, SIZES[-1])
    found = {f"checkpoint {size}"}
    assert wrong_at(store, size, right, now=last) == set()
    assert wrong_at(store, size, last + 10_000_000, now=last) == found
    assert wrong_at(store, size, last + 10_000_000, now=last + 9_000_000) == found
    # Before the newest event that it covers, by more than clocks may differ.
    assert wrong_at(store, size, right - 60, now=last) == set()
    assert wrong_at(store, size, right - 61, now=last) == found
    assert wrong_at(store, size, 0, now=last) == found
    # After the one that follows it, although before now.
    later = wrong_at(store, size, last + 10_000_000, now=last + 10_000_000)
    assert later == (set() if size == SIZES[-1] else found)


def test_times_that_a_repair_of_the_clock_lowered_are_right(store: MemoryStore) -> None:
    made_in_time(store)
    real = NOW - 86_400  # the clock was ahead by a day in all events until now
    for size in list(store.rows.checkpoint):
        store.rows.edit_checkpoint(size, created=real)
    unexplained = check(store, vkeys=[SIGNER.vkey], now=real).findings
    assert [each.place for each in unexplained] == [f"checkpoint {size}" for size in SIZES]
    with store.begin() as tx:
        reason = "NTP was off"
        append(tx, ClockRepaired(time=real, tenant="default", recorded=NOW, reason=reason))
    for size in list(store.rows.checkpoint):
        store.rows.edit_checkpoint(size, created=real)
    assert check(store, vkeys=[SIGNER.vkey], now=real).ok  # the repair is in line
    assert sequence(store, SIGNER, now=real) == 1
    assert check(store, vkeys=[SIGNER.vkey], now=real).ok
    assert wrong_at(store, SIZES[0], real - 61, now=real) == {f"checkpoint {SIZES[0]}"}
