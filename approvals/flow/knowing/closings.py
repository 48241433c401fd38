"""Whether the service is closed, and what the last restore was, as its own events tell.

What closed the service is in a row that each granting transaction reads. Somebody who can write to
the database clears that row. So each closing is an event of the service as well, and so is each
opening by an operator: the last of these says whether the service is closed, whatever the row says.

A restore that an operator accepts begins an epoch, which is named by the leaf hash of its event.
What a browser or a person is given for a while (a session, a challenge, a code) names its epoch,
and is good in this one alone. So a restore ends all of it, also what is not in the database at that
moment and is put back afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from approvals.core.history.events import SERVICE, LogClosed, LogReopened, LogRestored
from approvals.flow.knowing.logged import events_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from approvals.core.history.leaves import Chain, LeafEvent
    from approvals.store import Tx
    from approvals.store.standing import Standing


@dataclass(slots=True)
class Closings:
    """What the service's events tell, kept until there are more. Safe to share between threads."""

    _known: _Known = field(default_factory=lambda: _Known(0, None, None, None))

    @property
    def last_epoch(self) -> bytes | None:
        """The epoch as this process last read it, without a look at the database."""
        return self._known.epoch

    def epoch(self, tx: Tx, *, tenant: str) -> bytes | None:
        """The leaf hash of the last restore; None: there was none.

        Raises:
            Unavailable: the service's events are not those that it wrote (`row_altered`).
        """
        end = tx.chains.chain(tenant=tenant, subject=SERVICE)
        return self._read(tx, end, tenant=tenant).epoch

    def code(self, tx: Tx, standing: Standing, *, tenant: str) -> str | None:
        """What closed the service; None: it is open.

        `standing` was looked at in this transaction, with the last event of this tenant's service.

        Raises:
            Unavailable: these are not the events that the service wrote (`row_altered`).
        """
        end = tx.chains.end(standing.own, tenant=tenant, subject=SERVICE, moment=standing.moment)
        return self._read(tx, end, tenant=tenant).code

    def _read(self, tx: Tx, end: Chain, *, tenant: str) -> _Known:
        known = self._known
        if (known.count, known.head) != (end.count, end.head):
            subject = events_of(tx, tenant=tenant, subject=SERVICE)
            known = _Known(
                len(subject.told),
                subject.head,
                _closing(subject.told),
                last_restore(subject.told, head=subject.head),
            )
            if known.count == end.count:  # or one was added just now
                self._known = known
        return known


@dataclass(frozen=True, slots=True)
class _Known:
    """What the first `count` events of the service tell."""

    count: int
    head: bytes | None
    code: str | None
    epoch: bytes | None


def _closing(history: Sequence[LeafEvent]) -> str | None:
    code: str | None = None
    for told in history:
        if isinstance(told.event, LogClosed):
            code = told.event.code
        elif isinstance(told.event, LogReopened | LogRestored):
            code = None
    return code


def last_restore(history: Sequence[LeafEvent], *, head: bytes | None) -> bytes | None:
    """The leaf hash of the last restore among the service's events; `head` is that of the last."""
    hashes = [*(told.link.previous for told in history[1:]), head]
    restores = [
        leaf_hash
        for told, leaf_hash in zip(history, hashes, strict=False)
        if isinstance(told.event, LogRestored)
    ]
    return restores[-1] if restores else None
