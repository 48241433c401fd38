"""How things stand at this moment: what waits, and for how long. For metrics.

What holds: each figure is read from an index and counted up to a bound, so that it costs the same
however long the history is; a figure at the bound means "at least".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from approvals.flow.integrity.gate import closed

if TYPE_CHECKING:
    from approvals.flow.service import Service

MOST: Final = 10_000
CHANNELS: Final = ("email", "slack", "webhook")


@dataclass(frozen=True, slots=True)
class FiguresNow:
    """Ages are in seconds; `outbox` gives how many notices wait on a channel, and the oldest's age.

    `unspent` counts approvals that can still be spent.
    """

    closed: bool
    pending: int
    oldest_pending: int
    unspent: int
    outbox: dict[str, tuple[int, int]]
    size: int
    waiting: int
    lag: int


def figures_now(service: Service) -> FiguresNow:
    """Look, on the connections that probes have.

    Raises:
        Unavailable: the database does not answer in time.
    """
    marked = service.mark.marked
    with service.store.glance() as tx:
        pending, oldest = tx.standing.pending(most=MOST)
        waiting, staged = tx.standing.waiting(most=MOST)
        last = tx.log.latest_checkpoint()
        outbox = {
            channel: (count, 0 if due is None else max(0, tx.now - due))
            for channel in CHANNELS
            for count, due in [tx.standing.outbox(channel, most=MOST)]
        }
        return FiguresNow(
            closed=closed(service, tx, marked=marked) is not None,
            pending=pending,
            oldest_pending=0 if oldest is None else max(0, tx.now - oldest),
            unspent=tx.standing.unspent(most=MOST),
            outbox=outbox,
            size=0 if last is None else last.size,
            waiting=waiting,
            lag=0 if staged is None else max(0, tx.now - staged),
        )
