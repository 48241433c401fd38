"""An operator lets a closed service grant again: after a repair of its log, or after a restore.

What holds:
1. `reopen` opens only after the whole log was checked, the checkpoint of the mark included, and
   only if no process found anything since that check began.
2. `accept` continues with an older database than the one that the keys signed last. What was spent,
   cancelled, denied or used since then is unknown. So everything that could be used a second time
   ends: pending requests, unspent approvals, invitations, challenges, sessions and codes. It ends
   also where its row is missing at that moment and is put back later: challenges, sessions and
   codes name the epoch that ends, and the rest is ended by its events. Without somebody's handle
   their events cannot be found, and `accept` is refused.
3. A passkey or chat account that ended since then is there again, and nothing tells which one. So
   `accept` takes a decision for everybody who has any: whose end, or that all stay.
4. All of it is logged, and so are signing keys that the database's log does not know.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from approvals import log
from approvals.core import b64
from approvals.core.errors import Conflict, NotFound, ProofError
from approvals.core.history.events import SERVICE, LogReopened, LogRestored
from approvals.core.history.leaves import parse_leaf
from approvals.core.merkle import EMPTY_ROOT
from approvals.core.requests import expire, revoke
from approvals.flow.asking.expire import lapse
from approvals.flow.auditing.audit import audit
from approvals.flow.auditing.signatures import unintroduced
from approvals.flow.integrity.gate import recorded
from approvals.flow.integrity.introduce import tell
from approvals.flow.knowing.handles import verify_handles
from approvals.flow.operating.unended import Unended, mend_chains
from approvals.flow.people.accounts import log_unlinked
from approvals.flow.people.retire import Reason, end_invitations, retire, session_ended
from approvals.flow.service import DEFAULT_TENANT
from approvals.flow.transition import end
from approvals.keys.mark import Marked

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from approvals.core.tlog.leaves import StoredCheckpoint
    from approvals.flow.service import Service
    from approvals.store import Tx
    from approvals.store.holdings import Held

BATCH: Final = 500
EVER: Final = 2**53
"""Later than every time: what ends by then ends now."""


@dataclass(frozen=True, slots=True)
class Loss:
    """What is given up by going on with the database as it is.

    `signed` is how many leaves these keys signed, `size` how many the database has, the last of
    them from `since`. `access` is what everybody has in it: browsers and invitations end, passkeys
    and chat accounts where that is decided.
    """

    signed: int
    size: int
    since: int | None
    pending: int
    unspent: int
    bundle: str | None
    access: tuple[Held, ...]

    @property
    def undecided(self) -> tuple[str, ...]:
        """Everybody with a passkey or a chat account, about whom `accept` needs a decision."""
        return tuple(sorted({held.person for held in self.access if _stays(held)}))


@dataclass(frozen=True, slots=True)
class Ending:
    """An operator's decision whose passkeys and chat accounts end: everybody's, or these people's.

    Nobody is a decision too: that all are still rightly theirs.
    """

    people: frozenset[str] = frozenset()
    everybody: bool = False

    def ends(self, person: str) -> bool:
        """Whether this person's end."""
        return self.everybody or person in self.people


def loss(service: Service) -> Loss:
    """What `accept` would give up; changes nothing.

    Raises:
        ProofError: the database's log is not whole, or not signed by these keys.
    """
    marked = service.mark.marked
    with service.store.read() as tx:
        last = tx.log.latest_checkpoint()
        if last is not None:
            log.verify_extends(tx.log, service.keys, size=0, root=EMPTY_ROOT)
        current = tx.bundles.current(DEFAULT_TENANT)
        return Loss(
            signed=0 if marked is None else marked.size,
            size=0 if last is None else last.size,
            since=None if last is None else last.created,
            pending=len(tx.requests.due(now=EVER, limit=EVER)),
            unspent=len(tx.approvals.lapsing(now=EVER, limit=EVER)),
            bundle=None if current is None else current.version,
            access=tx.holdings.all(now=tx.now),
        )


def accept(service: Service, *, reason: str, ending: Ending | None = None) -> Loss:
    """Go on with the database as it is; gives what was given up.

    Processes that run notice it by themselves if they share the folder of keys.

    Raises:
        Conflict: somebody has a passkey or a chat account, and nothing says whether it ends
            (`passkeys_undecided`).
        NotFound: somebody whose passkeys are to end has nothing (`unknown_person`).
        ProofError: the database's log is not whole, or not signed by these keys; or a row says
            that something is open that ended (`log_altered`). The message has the remedy.
        Unavailable: somebody's handle is missing or altered (`row_altered`), likewise.
        Conflict: another process sequences the log just now.
    """
    service.store.ends.forget()  # they are of the database that is given up
    lost = loss(service)
    _verify_decided(service, lost, ending)
    with service.store.begin() as tx:
        if not tx.log.lead():
            raise Conflict("another process sequences the log just now; run this again")
        last = tx.log.latest_checkpoint()
        tenants = _tenants(tx, last)
        mend_chains(tx)  # before any event is added to one
        for tenant in tenants:
            tx.bundles.hold_alone(tenant)  # nobody is given anything in the epoch that ends
            verify_handles(tx, tenant=tenant)
        root = EMPTY_ROOT if last is None else last.root
        identity = tx.standing.renew()
        tx.standing.open()
        _end_access(service, tx, ending or Ending())
        _end_everything(tx)
        log.append(
            tx,
            LogRestored(
                time=tx.now,
                tenant=DEFAULT_TENANT,
                size=lost.size,
                root=b64.encode(root),
                signed=lost.signed,
                reason=reason,
            ),
        )
        tell(tx, service.keys.approval_keys)  # those that were made since the backup
    # If this is interrupted here, the database is refused as before: it has another identity.
    service.mark.accept(Marked.at(identity, last))
    return lost


def reopen(service: Service, *, reason: str) -> log.Report:
    """Check everything and, if nothing is wrong, let processes grant again; gives the report.

    Raises:
        Conflict: nothing had closed the service (`not_closed`); or another process found something
            meanwhile, which this check may not have seen (`found_meanwhile`).
    """
    with service.store.read() as tx:
        found = recorded(service, tx)
        before = _events_of_service(tx)
    if found is None:
        raise Conflict("nothing has closed the service", code="not_closed")
    report = checked(service)
    if report.ok:
        with service.store.begin() as tx:
            tx.standing.open()
            # Whoever finds something locks the row that this has locked, and logs it.
            if _events_of_service(tx) != before:
                raise Conflict(
                    "another process found something while the log was checked: run this again",
                    code="found_meanwhile",
                )
            reopened = LogReopened(
                time=tx.now, tenant=DEFAULT_TENANT, code=found.code, reason=reason
            )
            log.append(tx, reopened)
    return report


def _events_of_service(tx: Tx) -> int:
    return len(tx.chains.unheld(tenant=DEFAULT_TENANT, subjects=[SERVICE])[SERVICE].leaves)


def checked(
    service: Service,
    *,
    remembered: Sequence[str] = (),
    advance: Callable[[int, int], None] | None = None,
) -> log.Report:
    """The whole log checked, and where it is whole, the database held to what it tells.

    The checkpoint that these keys signed last is remembered, beside those in `remembered`.
    """
    marked = service.mark.marked
    own = [marked.note] if marked is not None and marked.note else []
    with service.store.read() as tx:
        now = tx.now
    report = log.check(
        service.store,
        vkeys=[service.keys.vkey],
        remembered=[*remembered, *own],
        now=now,
        advance=advance,
    )
    if report.ok:
        report = replace(report, findings=(*audit(service), *unintroduced(service)))
    return report


def _tenants(tx: Tx, last: StoredCheckpoint | None) -> list[str]:
    """Every tenant of whom an event is told, by the leaves and not by what they are filed under.

    What ends is looked for by what leaves are filed under, so that is held against each leaf.

    Raises:
        ProofError: a leaf is missing, altered, or filed under another subject than its own
            (`log_incomplete`, `log_altered`).
    """
    follower = log.Follower(tx.log)
    told = {tenant for tenant, *_ in follower.read(tx.log, 0 if last is None else last.size)}
    if last is not None:
        follower.verify(last.root)
    for staged in tx.log.staged(limit=tx.log.staged_count()):
        event = parse_leaf(staged.leaf).event
        if (event.tenant, event.subject) != (staged.tenant, staged.subject):
            raise ProofError(
                "it is filed under another subject than the one that it is about",
                code="log_altered",
                place=f"staged event {staged.id}",
            )
        told.add(event.tenant)
    return sorted(told)


def _end_everything(tx: Tx) -> None:
    """End everything that may have been ended, spent or used in the lost part of history."""
    told, requests, approvals = Unended.told(tx), set[str](), set[str]()
    while due := tx.requests.due(now=EVER, limit=BATCH):
        for tenant, request_id in due:
            requests.add(request_id)
            stored = tx.requests.get(tenant=tenant, request_id=request_id, lock=True)
            if stored is None:
                raise ProofError("a request is gone", code="log_altered", place=request_id)
            over = tx.now >= stored.request.document.expires
            end(tx, (expire if over else revoke)(stored.request, now=tx.now))
    while found := tx.approvals.lapsing(now=EVER, limit=BATCH):
        approvals.update(jti for jti, _ in found)
        if not lapse(tx, [jti for jti, _ in found], now=EVER):
            raise Conflict("approvals are being spent just now: stop the service first")
    while tx.people.outlived(now=EVER):
        tx.people.forget_outlived(now=EVER, limit=BATCH)
    invitations = end_invitations(tx)
    told.end_others(tx, requests=requests, approvals=approvals, invitations=invitations)


def _stays(held: Held) -> bool:
    """Whether somebody has what a restore by itself does not end."""
    return held.passkeys + held.accounts > 0


def _verify_decided(service: Service, lost: Loss, ending: Ending | None) -> None:
    if ending is None:
        if lost.undecided:
            raise Conflict(
                "a passkey or chat account that ended since the backup is there again: say whose "
                f"end, or that all stay; it is about {', '.join(lost.undecided)}",
                code="passkeys_undecided",
            )
        return
    strangers = sorted(ending.people.difference(lost.undecided))
    if strangers and lost.bundle is not None:
        # Whoever was named before an interruption has nothing left, and is named again.
        with service.store.read() as tx:
            known = service.current_bundle(tx, DEFAULT_TENANT).bundle.people
        strangers = [each for each in strangers if each not in known]
    if strangers:
        raise NotFound(
            f"{', '.join(strangers)} has no passkey and no chat account in this database",
            code="unknown_person",
        )


def _end_access(service: Service, tx: Tx, ending: Ending) -> None:
    """End every signed-in browser, and the passkeys and chat accounts of those who are named."""
    for held in tx.holdings.all(now=tx.now):
        tenant, person = held.tenant, held.person
        if not ending.ends(person):
            for hashed in tx.people.end_access(tenant=tenant, person=person):
                session_ended(tx, hashed, tenant=tenant, person=person)
            continue
        bundle = service.current_bundle(tx, tenant).bundle
        retire(tx, bundle, tenant=tenant, person=person, reason=Reason.RESTORED)
        for account in tx.accounts.leave(tenant=tenant, person=person):
            log_unlinked(tx, bundle, account)
