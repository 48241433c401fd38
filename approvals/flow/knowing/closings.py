"""Whether the service is closed, as its own events tell.

What closed the service is in a row that each granting transaction reads. Somebody who can write to
the database clears that row. So each closing is an event of the service as well, and so is each
opening by an operator: the last of these says whether the service is closed, whatever the row says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from approvals.core.history.events import SERVICE, EventType
from approvals.flow.knowing.logged import events_of

if TYPE_CHECKING:
    from approvals.flow.knowing.logged import Subject
    from approvals.store import Tx
    from approvals.store.standing import Standing

_OPENS = frozenset({EventType.LOG_REOPENED, EventType.LOG_RESTORED})


@dataclass(slots=True)
class Closings:
    """What the service's events tell, kept until there are more. Safe to share between threads."""

    _known: tuple[int, bytes | None, str | None] = (0, None, None)

    def code(self, tx: Tx, standing: Standing, *, tenant: str) -> str | None:
        """What closed the service; None: it is open.

        `standing` was looked at in this transaction, with the last event of this tenant's service.

        Raises:
            Unavailable: these are not the events that the service wrote (`row_altered`).
        """
        end = tx.chains.end(standing.own, tenant=tenant, subject=SERVICE, moment=standing.moment)
        count, head, code = self._known
        if (count, head) != (end.count, end.head):
            subject = events_of(tx, tenant=tenant, subject=SERVICE)
            code = _last(subject)
            if len(subject.events) == end.count:  # or one was added just now
                self._known = end.count, end.head, code
        return code


def _last(subject: Subject) -> str | None:
    code: str | None = None
    for event in subject.events:
        if event.type is EventType.LOG_CLOSED:
            code = str(event.public["code"])
        elif event.type in _OPENS:
            code = None
    return code
