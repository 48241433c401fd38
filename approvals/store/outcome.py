"""Was it done? Asking PostgreSQL again what became of a commit whose answer was lost.

Between the order to commit and its answer a connection can break or a server can stop. Then nobody
who only saw the error can say whether the transaction is in the database. PostgreSQL can: each
transaction that changed something has a number, and `pg_xact_status` tells of each recent number
whether it was committed. So the number is read before the commit, and asked for on a new connection
when the answer is lost.

What holds:
1. `settle` says "committed" or "not committed" only where the same server, or the one that took up
   its history without a fork, says so. A failover starts another timeline, on which the same number
   may belong to another transaction.
2. A backend that is left over and holds the transaction open is ended, so that the answer is final.
3. It takes no longer than `SECONDS`; then the outcome is unknown.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import psycopg
from sqlalchemy import text

from approvals.store import deadline, postgres

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import URL
    from sqlalchemy.exc import DBAPIError
    from sqlmodel import Session

SECONDS: Final = 5.0
CHANNEL: Final = "assent"

_PAUSE: Final = 0.2
_MARK: Final = text("SELECT pg_current_xact_id_if_assigned()::text")
_MARK_AND_NOTIFY: Final = text(
    "SELECT pg_current_xact_id_if_assigned()::text, "
    "(SELECT count(pg_notify(:channel, topic)) FROM unnest(CAST(:topics AS text[])) AS topic)"
)
_STATUS: Final = "SELECT pg_xact_status(%s::xid8), pg_is_in_recovery()"
_END: Final = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE backend_xid = (%s::xid8)::xid AND usename = current_user AND pid <> pg_backend_pid()"
)


_FINAL: Final = {"committed": True, "aborted": False}


@dataclass(frozen=True, slots=True)
class Mark:
    """By which a transaction can be asked for: its number, in the history that it belongs to.

    Without a number it has changed nothing.
    """

    xid: str | None
    timeline: str | None


def mark(session: Session, topics: Sequence[str]) -> Mark:
    """The last statement of a transaction: announce `topics` and read its number.

    It fails where an earlier failure has aborted the transaction. COMMIT would not: it rolls such a
    transaction back and reports no error.
    """
    connection = session.connection()
    if topics:
        found = connection.execute(_MARK_AND_NOTIFY, {"channel": CHANNEL, "topics": [*topics]})
    else:
        found = connection.execute(_MARK)
    return Mark(found.one()[0], connection.info.get(postgres.TIMELINE))


def is_certain(error: DBAPIError) -> bool:
    """Whether a failed COMMIT says for certain that nothing was done.

    An ERROR from the server does: it aborted the transaction and tells so. FATAL and PANIC end the
    backend, perhaps after the commit was written, and a broken connection says nothing at all.
    """
    inner = error.orig
    return (
        isinstance(inner, psycopg.Error)
        and not error.connection_invalidated
        and inner.diag.severity_nonlocalized == "ERROR"
    )


def settle(url: URL, lost: Mark) -> bool | None:
    """Whether the transaction was committed; None when that cannot be found out now."""
    if lost.xid is None:
        return False
    if lost.timeline is None:
        return None
    with deadline.within(SECONDS):
        ends = time.monotonic() + SECONDS
        while (left := ends - time.monotonic()) > 0:
            try:
                status = _ask(url, lost, seconds=left)
            except (psycopg.DataError, psycopg.ProgrammingError):
                status = "another history"  # it says that our number is from the future
            except (psycopg.Error, OSError):
                status = "away"
            if status not in {"in progress", "away"}:
                return _FINAL.get(status)
            time.sleep(min(_PAUSE, left))
    return None


def _ask(url: URL, lost: Mark, *, seconds: float) -> str:
    with postgres.dial(url, seconds=seconds) as connection:
        row = connection.execute(_STATUS, [lost.xid]).fetchone()
        if row is None or row[1]:
            return "away"  # a standby that may not know yet
        if postgres.timeline(connection) != lost.timeline:
            return "another history"
        if row[0] == "in progress":
            connection.execute(_END, [lost.xid])
        return str(row[0])
