"""How far the events of each subject go, as this process knows without asking the database.

Somebody who can write to the database can put back everything of a subject, the sealed end of its
chain too, and file the later leaves under another subject. What is left agrees with itself. It
does not agree with what a process has seen: the events that it committed itself, and those that it
read in the log by their places, whatever subject they are filed under.

What holds:
1. Wherever the end of a chain is read, it is compared with what is known here (`require`). An end
   that comes earlier is refused.
2. What is known has committed. A transaction that reads is refused nothing that was learned after
   its snapshot was taken, and a statement that writes nothing that was learned after it began.
3. At most `KEPT` subjects are known: those that were added or asked for last. An end says nothing
   about another subject; `flow.reading` comes to its leaves in turn.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from approvals.store.seals import altered

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy.orm import Session

    End = tuple[str, str, int]

KEPT: Final = 100_000


class Ends:
    """What one process knows of ends. Safe to share between threads."""

    def __init__(self, *, kept: int = KEPT) -> None:
        """Know of none, and later of `kept` at most."""
        self._kept = kept
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], tuple[int, int]] = {}
        self._moment = 0

    @property
    def moment(self) -> int:
        """How often something was added: what is known later was learned after it."""
        return self._moment

    def add(self, ends: Iterable[End]) -> None:
        """Know that these subjects (tenant, subject) have so many events: that has committed."""
        with self._lock:
            moment = self._moment + 1
            for tenant, subject, count in ends:
                known = self._known.pop((tenant, subject), (0, 0))
                # Put in anew: the first of them is then the one that was of use longest ago.
                self._known[tenant, subject] = (count, moment) if count > known[0] else known
            while len(self._known) > self._kept:
                del self._known[next(iter(self._known))]
            self._moment = moment

    def forget(self) -> None:
        """Know of none: an operator has accepted an older database."""
        with self._lock:
            self._known.clear()

    def least(self, *, tenant: str, subject: str, moment: int) -> int:
        """How many events the subject has at least, as was known at this moment."""
        with self._lock:
            known = self._known.pop((tenant, subject), None)
            if known is None:
                return 0
            self._known[tenant, subject] = known
            count, since = known
            return count if since <= moment else 0


def moment_of(session: Session) -> int:
    """What may be compared with the next statement: take it before the database is asked.

    A session that only reads has one snapshot, and so the moment before that was taken.
    """
    moment: int | None = session.info.get("moment")
    return _ends(session).moment if moment is None else moment


def require(session: Session, *, tenant: str, subject: str, count: int, moment: int) -> None:
    """Refuse an end that comes before one that was known at this moment.

    Raises:
        Unavailable: the chain was put back (`row_altered`).
    """
    if count < _ends(session).least(tenant=tenant, subject=subject, moment=moment):
        raise altered("chain", tenant, subject)


def _ends(session: Session) -> Ends:
    ends: Ends = session.info["ends"]
    return ends
