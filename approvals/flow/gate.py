"""No audit, no answer: nothing is granted while the log cannot tell of it.

A verdict, a vote, an approval and a receipt are given, and a passkey or a chat account becomes
somebody's, only in a transaction in which `require_open` held. It reads, in one statement that
costs the same however long the log is:

1. what any process found wrong with the log and recorded;
2. whether this is the database whose log these keys signed, and not an older or another one;
3. how long events have been waiting for their place: the sign that no sequencer runs.

So a process whose own sequencer is dead refuses as well, and so does one that never had one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from approvals.core.errors import Unavailable

if TYPE_CHECKING:
    from approvals.flow.service import Service
    from approvals.keys.mark import Marked
    from approvals.store import Tx
    from approvals.store.standing import Standing

REMEDIES: Final = {
    "log_altered": "compare with a backup and run assent log check; when the log is whole again, "
    "assent log reopen",
    "log_incomplete": "compare with a backup and run assent log check; when the log is whole "
    "again, assent log reopen",
    "log_rolled_back": "put the newer database back, or see what assent log accept-restore loses",
    "log_forked": "put the right database back, or see what assent log accept-restore loses",
    "database_changed": "put the right database back, or see what assent log accept-restore loses",
    "database_moved": "stop the service, put the file back and start again",
    "log_stale": "the process that sequences the log must run and reach the database",
}


@dataclass(frozen=True, slots=True)
class Closed:
    """Why nothing is granted: a stable code, a sentence for the operator, since when if known."""

    code: str
    reason: str
    since: int | None = None

    @property
    def remedy(self) -> str:
        """What the operator can do."""
        return REMEDIES.get(self.code, "run assent log check")


def closed(service: Service, tx: Tx, *, marked: Marked | None = None) -> Closed | None:
    """Why nothing may be granted in this transaction; None: it may.

    A transaction that only reads has a snapshot: it gives the `marked` from before it began.
    """
    # Read before the database is: what was committed before the mark moved is visible after it.
    marked = marked or service.mark.marked
    moved = service.store.moved()
    if moved is not None:
        return Closed("database_moved", f"{moved} is not the file that this process writes")
    standing = tx.standing.look(marked=0 if marked is None else marked.size)
    if standing is None:
        return Closed("database_changed", "the row that identifies the database is gone")
    if standing.closed is not None:
        return Closed(standing.closed, standing.reason or "", standing.since)
    other = None if marked is None else _other(marked, standing)
    if other is not None:
        return other
    waited = 0 if standing.oldest is None else tx.now - standing.oldest
    if waited > service.settings.log_patience:
        return Closed(
            "log_stale", f"an event has waited {waited} s for its place in the log", standing.oldest
        )
    return None


def _other(marked: Marked, standing: Standing) -> Closed | None:
    """Why this is not the database that the keys' mark is of, or an older state of it."""
    if standing.identity != marked.identity:
        return Closed("database_changed", "this is not the database that these keys belong to")
    if marked.size == 0 or standing.marked_root == marked.root:
        return None
    if standing.marked_root is None:
        return Closed(
            "log_rolled_back",
            f"the database is older than the {marked.size} leaves that these keys signed",
        )
    return Closed("log_forked", f"the first {marked.size} leaves are not those that were signed")


def require_open(service: Service, tx: Tx) -> None:
    """Go on only if what is granted in this transaction can be told by the log.

    Raises:
        Unavailable: `closed`. The sentence names what was found; `/readyz` tells the operator more.
    """
    found = closed(service, tx)
    if found is not None:
        raise Unavailable(
            f"nothing is granted now ({found.code}); the operator has to act", code="closed"
        )
