"""No audit, no answer: nothing is granted unless an intact log can record it.

Each transaction that gives a verdict, counts a vote, issues an approval or spends one, or that
gives a person a passkey, a signed-in browser or a chat account, calls `require_open`. It reads, in
one statement that costs the same however long the log is:

1. what any process found wrong with the log and recorded, in a row and as an event of the service;
2. whether this is the database whose log these keys signed, and not an older or another one;
3. how long events have been waiting for their place: the sign that no sequencer runs.

So a process refuses also where its own sequencer has died, or where it never had one.

What an operator does in a shell that changes who may grant what, an activation or an invitation,
calls `require_trusted`: that is 1 and 2. What only takes away is always allowed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from approvals.core.errors import Unavailable
from approvals.flow.service import DEFAULT_TENANT

if TYPE_CHECKING:
    from approvals.flow.service import Service
    from approvals.keys.mark import Marked
    from approvals.store import Tx
    from approvals.store.standing import Standing

ANOTHER_DATABASE: Final = "this is not the database that these keys belong to"
_REPAIR: Final = (
    "compare with a backup and run assent log check; when the log is whole again, assent log reopen"
)
_PUT_BACK: Final = "put the right database back, or see what assent log accept-restore loses"
REMEDIES: Final = {
    "log_altered": _REPAIR,
    "log_incomplete": _REPAIR,
    "log_rolled_back": "put the newer database back, or see what assent log accept-restore loses",
    "log_forked": _PUT_BACK,
    "database_changed": _PUT_BACK,
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
    standing = tx.standing.look(marked=0 if marked is None else marked.size, tenant=DEFAULT_TENANT)
    if standing is None:
        return Closed("database_changed", "the row that identifies the database is gone")
    other = None if marked is None else _other(marked, standing)
    found = _in_row(standing) or other or _by_events(service, tx, standing)
    if found is not None:
        return found
    waited = 0 if standing.oldest is None else tx.now - standing.oldest
    if waited > service.settings.log_patience:
        return Closed(
            "log_stale", f"an event has waited {waited} s for its place in the log", standing.oldest
        )
    return None


def recorded(service: Service, tx: Tx) -> Closed | None:
    """What some process found wrong with the log, until an operator opens the service again."""
    standing = tx.standing.look(tenant=DEFAULT_TENANT)
    return None if standing is None else _in_row(standing) or _by_events(service, tx, standing)


def _in_row(standing: Standing) -> Closed | None:
    if standing.closed is None:
        return None
    return Closed(standing.closed, standing.reason or "", standing.since)


def _by_events(service: Service, tx: Tx, standing: Standing) -> Closed | None:
    """Why the service is closed by its own events, of which `standing` has the end."""
    if are_gone(service, standing):
        return Closed("log_altered", "events of the service are gone that these keys mark")
    try:
        code = service.closings.code(tx, standing, tenant=DEFAULT_TENANT)
    except Unavailable as error:
        return Closed("log_altered", f"the service's own events were altered: {error.message}")
    if code is None:
        return None
    return Closed(code, "the log tells that the service was closed, and the database does not")


def are_gone(service: Service, standing: Standing) -> bool:
    """Whether the service has fewer events of its own than when it was closed."""
    told = 0 if standing.own is None else int(standing.own["count"])
    marked = service.mark.marked
    same = marked is not None and marked.identity == standing.identity
    return same and told < service.mark.told


def _other(marked: Marked, standing: Standing) -> Closed | None:
    """Why this is not the database that the keys' mark is of, or an older state of it."""
    if standing.identity != marked.identity:
        return Closed("database_changed", ANOTHER_DATABASE)
    if marked.size == 0 or standing.marked_root == marked.root:
        return None
    if standing.marked_root is None:
        return Closed(
            "log_rolled_back",
            f"the database is older than the {marked.size} leaves that these keys signed",
        )
    return Closed("log_forked", f"the first {marked.size} leaves are not those that were signed")


def require_trusted(service: Service, tx: Tx) -> None:
    """Refuse to change who may grant what unless an intact log will tell of it.

    Events that wait long do not matter here. A shell may be used where no service runs: its event
    waits with the others, and nothing is granted until they have their places.

    Raises:
        Unavailable: `closed`. The sentence says what was found and what the operator can do.
    """
    found = closed(service, tx)
    if found is not None and found.code != "log_stale":
        raise Unavailable(
            f"nothing was changed, since no log could tell of it ({found.code}: {found.reason}); "
            f"{found.remedy}",
            code="closed",
        )


def require_open(service: Service, tx: Tx) -> None:
    """Refuse to grant anything in this transaction unless an intact log can record it.

    Raises:
        Unavailable: `closed`. The sentence names what was found; `/readyz` tells the operator more.
    """
    found = closed(service, tx)
    if found is not None:
        raise Unavailable(
            f"nothing is granted now ({found.code}); the operator has to act", code="closed"
        )
