"""One repair of the clock is enough, however many times were changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from approvals import log
from approvals.flow.integrity.rounds import sequence
from approvals.flow.operating.repair import repair_clock
from approvals.store.rows.log import CheckpointRow
from tests.intruder import Intruder, table_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.service import Running

CHECKPOINT = table_of(CheckpointRow)


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
