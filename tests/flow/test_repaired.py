"""What was changed in the tables of the log is named, and one repair of the clock is enough."""

from __future__ import annotations

from typing import TYPE_CHECKING

from approvals import log
from approvals.flow.integrity.rounds import sequence
from approvals.flow.operating.repair import repair_clock
from approvals.flow.operating.restore import checked
from approvals.store.rows.log import CheckpointRow, StagedRow
from tests.intruder import Intruder, table_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.service import Running

CHECKPOINT, STAGED = table_of(CheckpointRow), table_of(StagedRow)


def wrong(running: Running) -> list[int]:
    with running.service.store.read() as tx:
        return [each.size for each in log.wrong_times(tx.log, now=tx.now)]


def test_one_repair_corrects_all_times_that_are_later_than_one_after_them(
    running: Running, later: Callable[[int], None]
) -> None:
    here = running.service
    sequence(here)
    for amount in ("1.00", "2.00"):
        running.opened(amount)
        sequence(here)
    later(1000)
    intruder = Intruder.at(here.settings.database_url)
    *earlier, last = sorted(intruder.rows(CHECKPOINT), key=lambda row: row["size"])
    for row in earlier:
        intruder.edit(CHECKPOINT, row, created=last["created"] + 500)
    intruder.engine.dispose()
    assert len(earlier) >= 2
    assert wrong(running) == [earlier[-1]["size"]]
    repair_clock(here, reason="somebody changed it")
    assert wrong(running) == []


def test_the_check_names_an_event_in_line_that_was_altered(running: Running) -> None:
    here = running.service
    sequence(here)
    running.opened("20.00")
    intruder = Intruder.at(here.settings.database_url)
    row = intruder.rows(STAGED)[0]
    intruder.edit(STAGED, row, leaf=b"{}")
    found = checked(here).findings
    assert ("row_altered", f"staged {row['id']}") in {(each.code, each.place) for each in found}
    for checkpoint in intruder.rows(CHECKPOINT):
        intruder.edit(CHECKPOINT, checkpoint, created=checkpoint["created"] - 1000)
    intruder.engine.dispose()
    assert wrong(running)
    assert {each.code for each in checked(here).findings} == {"checkpoint_time"}
