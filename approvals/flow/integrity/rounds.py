"""One round of the log: is it still the one that was signed, and what waits gets its place.

1. The file that is written is still the one that others would open (SQLite).
2. The database is the one that the keys' mark is of, and its log continues the marked one. Another
   process may have made it longer: then the mark moves on.
3. Nobody closed the service. What is wrong is recorded in the database, so that it is closed for
   every process, and is logged as an event. While it is closed nothing is signed: a restored
   database would otherwise be continued into a fork.
4. What was added to the log is read by this process (`flow.reading`).
5. Staged events are sequenced, each checkpoint marked before it commits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from approvals import log
from approvals.core.errors import AssentError, ProofError, Unavailable
from approvals.core.history.events import SERVICE, LogClosed
from approvals.flow.integrity.gate import ANOTHER_DATABASE, are_gone, closed
from approvals.flow.knowing.reading import WINDOW
from approvals.flow.service import DEFAULT_TENANT
from approvals.keys.mark import Marked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from approvals.core.tlog.leaves import Staged, StoredCheckpoint
    from approvals.flow.service import Service
    from approvals.store import Tx
    from approvals.store.standing import Standing

_log = structlog.get_logger(__name__)

FINDINGS: Final = frozenset(
    {"log_altered", "log_incomplete", "log_rolled_back", "log_forked", "database_changed"}
)
"""What closes the service for every process, until an operator opens it again."""


def sequence(service: Service) -> int:
    """One round; gives how many events got their place.

    Raises:
        ProofError: the log cannot be continued: a code of `FINDINGS`, which is recorded.
        Unavailable: `database_moved`, or the code of the finding that was recorded before.
    """
    moved = service.store.moved()
    if moved is not None:
        raise Unavailable(
            "is not the file that this process writes", code="database_moved", place=str(moved)
        )
    try:
        # Read before the database is, since other threads and processes sequence as well: what was
        # committed before the mark moved is in a snapshot that begins after it.
        marked = service.mark.marked
        with service.store.read() as tx:
            now = tx.now
            identity, waiting = _verified(service, tx, marked)
        done = 0
        while waiting:
            count = _batch(service, identity, now=now)
            done += count
            waiting = count == log.BATCH
            if waiting:
                # Each checkpoint has the time of its making: events went on while others waited.
                with service.store.read() as tx:
                    now = tx.now
        service.mark.keep()
        marked = service.mark.marked
        if marked is not None and marked.identity != identity:
            service.store.ends.forget()  # an operator has just accepted another database
    except ProofError as error:
        _close(service, error)
        raise
    return done


def read_back(service: Service, *, window: int = WINDOW) -> None:
    """Read the last leaves of the log, before anything is granted; and from then on each new one.

    What is wrong with them closes the service.
    """
    service.reading.look_back(window)
    marked = service.mark.marked
    try:
        with service.store.read() as tx:
            if not _is_closed(service, tx, marked):
                _verified(service, tx, marked)
    except ProofError as error:
        _close(service, error)


def sweep(service: Service) -> int:
    """A step on the way through the whole log; gives how many leaves lie behind.

    Raises:
        ProofError: `log_altered` or `log_incomplete`, which is recorded.
    """
    marked = service.mark.marked
    if marked is None or not marked.size:
        return 0
    try:
        with service.store.read() as tx:
            if _is_closed(service, tx, marked):
                return 0
            return service.reading.sweep(tx, marked)
    except ProofError as error:
        _close(service, error)
        raise


def _is_closed(service: Service, tx: Tx, marked: Marked | None) -> bool:
    found = closed(service, tx, marked=marked)
    return found is not None and found.code != "log_stale"


def _batch(service: Service, identity: str, *, now: int) -> int:
    made: list[tuple[StoredCheckpoint, Sequence[Staged]]] = []

    def marking(
        last: StoredCheckpoint | None, new: StoredCheckpoint, batch: Sequence[Staged]
    ) -> None:
        made.append((new, batch))
        service.mark.signing(Marked.at(identity, new), after=Marked.at(identity, last))

    count = log.sequence(service.store, service.keys, now=now, marking=marking)
    for new, batch in made:
        service.mark.stored(Marked.at(identity, new))
        service.counts.add(batch)
    return count


def _verified(service: Service, tx: Tx, marked: Marked | None) -> tuple[str, bool]:
    """The identity of the database, and whether events wait; moves the mark on where it can."""
    standing = tx.standing.look(tenant=DEFAULT_TENANT)
    if standing is None:
        raise ProofError("the row that identifies the database is gone", code="database_changed")
    if standing.closed is not None:
        raise Unavailable(standing.reason or "the service is closed", code=standing.closed)
    if marked is not None and marked.identity != standing.identity and service.mark.reload():
        # An operator accepted a database in another process: the next round looks at it.
        service.store.ends.forget()
        return standing.identity, False
    if marked is None:
        marked = Marked.at(standing.identity, None)
    if marked.identity != standing.identity:
        raise ProofError(ANOTHER_DATABASE, code="database_changed")
    last = tx.log.latest_checkpoint()
    if last is None or (last.size, last.root) != (marked.size, marked.root):
        if marked.size or last is not None:
            last = log.verify_extends(tx.log, service.keys, size=marked.size, root=marked.root)
        service.mark.stored(Marked.at(standing.identity, last))
    service.reading.follow(tx, service.store.ends, identity=standing.identity, last=last)
    _still_open(service, tx, standing)
    return standing.identity, standing.oldest is not None


def _still_open(service: Service, tx: Tx, standing: Standing) -> None:
    if are_gone(service, standing):
        raise ProofError("events of the service are gone", code="log_altered")
    try:
        code = service.closings.code(tx, standing, tenant=DEFAULT_TENANT)
    except Unavailable as error:
        raise ProofError(
            "the service's own events are not those that it logged", code="log_altered"
        ) from error
    if standing.own is not None:  # its seal held, and it was read in a snapshot: it has committed
        service.store.ends.add([(DEFAULT_TENANT, SERVICE, standing.own["count"])])
    if code is not None:
        raise Unavailable("the log tells that the service was closed", code=code)


def _close(service: Service, error: ProofError) -> None:
    """Record what was found, once, where every process reads it; other errors close nothing."""
    if error.code not in FINDINGS:
        return
    try:
        _record(service, error, telling=True)
    except Unavailable as refused:
        if refused.code != "row_altered":
            raise
        # The service's own events were put back as well. That must not keep it open.
        _record(service, error, telling=False)
    _log.error("closed", code=error.code, place=error.place)
    try:
        with service.store.read() as tx:
            service.mark.closed(told=tx.chains.chain(tenant=DEFAULT_TENANT, subject=SERVICE).count)
    except AssentError as refused:  # it is closed for all that
        _log.error("closing_unmarked", code=refused.code, place=refused.place)


def _record(service: Service, error: ProofError, *, telling: bool) -> None:
    with service.store.begin() as tx:
        if tx.standing.close(code=error.code, reason=str(error), now=tx.now) and telling:
            log.append(tx, LogClosed(time=tx.now, tenant=DEFAULT_TENANT, code=error.code))
