"""An operator repairs what a clock that was ahead has left behind.

A checkpoint that was made while the clock was a day ahead says so, and from then on nothing is
written until that day is over. The signed log itself holds no such lock: the time stands beside a
checkpoint, and not in it.

What holds: only times that lie in the future are changed; that it was done, and which time had been
recorded, is an event of the log.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from approvals import log
from approvals.core.errors import Conflict
from approvals.core.events import SERVICE, Event, EventType
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
        Conflict: nothing was recorded ahead of the clock (`clock_right`).
    """
    with service.store.begin(any_clock=True) as tx:
        recorded = tx.log.latest_time()
        if recorded <= tx.now:
            raise Conflict(
                "nothing was recorded ahead of the clock: there is nothing to repair",
                code="clock_right",
            )
        tx.log.lower_times(tx.now)
        log.append(
            tx,
            Event(
                type=EventType.CLOCK_REPAIRED,
                time=tx.now,
                tenant=DEFAULT_TENANT,
                subject=SERVICE,
                public={"recorded": recorded},
                secret={"reason": reason},
            ),
        )
        repaired = Repair(recorded, tx.now)
    service.store.forget_clock()
    return repaired
