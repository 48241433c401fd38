"""An operator corrects times that were recorded while the clock was ahead, or that were changed.

The database stores a time beside each checkpoint, and writes are refused while the clock is behind
the latest of them. After a day on a clock that was a day ahead, that would take a day. The signed
checkpoint holds no time, so the stored one can be corrected.

What holds: only times are changed at which the checkpoint cannot have been made: those that lie in
the future, and what `assent log check` finds (`log.times`). The repair is an event of the log, with
the latest time that had been recorded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from approvals import log
from approvals.core.errors import Conflict
from approvals.core.history.events import ClockRepaired
from approvals.flow.service import DEFAULT_TENANT

if TYPE_CHECKING:
    from approvals.flow.service import Service


@dataclass(frozen=True, slots=True)
class Repair:
    """The latest time that had been recorded, and the time that is recorded now."""

    recorded: int
    now: int


def repair_clock(service: Service, *, reason: str) -> Repair:
    """Let the service write again now that its clock is right.

    Raises:
        Conflict: no recorded time is wrong (`clock_right`).
    """
    with service.store.read() as tx:
        wrong = log.wrong_times(tx.log, now=tx.now)
    with service.store.begin(any_clock=True) as tx:
        recorded = tx.log.latest_time()
        if recorded <= tx.now and not wrong:
            raise Conflict(
                "nothing was recorded ahead of the clock or behind the log: nothing is to repair",
                code="clock_right",
            )
        tx.log.lower_times(tx.now)
        for each in wrong:
            tx.log.put_time(each.size, min(each.right, tx.now))
        log.append(
            tx,
            ClockRepaired(time=tx.now, tenant=DEFAULT_TENANT, recorded=recorded, reason=reason),
        )
        repaired = Repair(recorded, tx.now)
    service.store.forget_clock()
    return repaired
