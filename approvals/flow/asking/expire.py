"""Records what has expired. Nothing depends on it: every statement that grants checks the time.

What holds: one run does a bounded amount of work, and so does each of its transactions, since on
SQLite other writers wait for it. Recording an approval is much cheaper than issuing one, so runs
catch up with any backlog.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from approvals import log
from approvals.core.approval import REQUEST
from approvals.core.history.events import ApprovalLapsed
from approvals.core.requests import State
from approvals.core.requests import expire as expire_request
from approvals.flow.locks import held
from approvals.flow.transition import announce, end

if TYPE_CHECKING:
    from collections.abc import Callable

    from approvals.flow.service import Service
    from approvals.store import Tx
    from approvals.store.approvals import IssuedApproval
    from approvals.store.requests import StoredRequest

BATCH: Final = 100
"""Requests or approvals that one transaction records."""
ROUNDS: Final = 50
"""Transactions of one kind in one run, so that a run ends and a stop need not wait for long."""
FORGOTTEN: Final = 2_000


def expire(service: Service) -> int:
    """Record requests whose time has passed and approvals that were never spent; gives how many.

    Challenges, signed-in browsers, codes and counters whose time has passed are forgotten.
    Idempotent, and safe in any number of processes: each is recorded by whoever holds its row.
    """
    recorded = _while_full(service, _expires, _expire_some)
    recorded += _while_full(service, _lapses, _lapse_some)
    with service.store.read() as tx:
        outlived = tx.people.outlived(now=tx.now) or tx.counters.outlived(now=tx.now)
    if outlived:
        # Anybody can ask for a challenge to sign in with: what they leave behind must not add up.
        with service.store.begin() as tx:
            tx.people.forget_outlived(now=tx.now, limit=FORGOTTEN)
            tx.counters.forget(now=tx.now, limit=FORGOTTEN)
    return recorded


def _while_full(service: Service, waits: Callable[[Tx], bool], work: Callable[[Tx], int]) -> int:
    """Do `work`, a transaction at a time, while something waits and a batch is full."""
    recorded = 0
    for _ in range(ROUNDS):
        with service.store.read() as tx:  # nobody's turn to write is taken for nothing
            if not waits(tx):
                break
        with service.store.begin() as tx:
            done = work(tx)
        recorded += done
        if done < BATCH:
            break
    return recorded


def _expires(tx: Tx) -> bool:
    return bool(tx.requests.due(now=tx.now, limit=1))


def _lapses(tx: Tx) -> bool:
    return bool(tx.approvals.lapsing(now=tx.now, limit=1))


def _expire_some(tx: Tx) -> int:
    due = tx.requests.due(now=tx.now, limit=BATCH)
    free = tx.requests.hold_free([request_id for _, request_id in due])
    recorded = 0
    for tenant, request_id in due:
        if request_id in free:
            stored = tx.requests.get(tenant=tenant, request_id=request_id, lock=True)
            if stored is not None and stored.request.state is State.PENDING:
                recorded += ended(tx, stored)
    return recorded


def _lapse_some(tx: Tx) -> int:
    found = tx.approvals.lapsing(now=tx.now, limit=BATCH)
    free = tx.requests.hold_free([txn for _, txn in found if txn.startswith(REQUEST)])
    return lapse(tx, [jti for jti, txn in found if txn in free or not txn.startswith(REQUEST)])


def ended(tx: Tx, stored: StoredRequest) -> bool:
    """Whether a locked request can no longer lead to execution; records it where that is new."""
    request = stored.request
    if request.state is State.PENDING:
        if tx.now < request.document.expires:
            return False
        end(tx, expire_request(request, now=tx.now))
        return True
    if request.state is State.APPROVED:
        tenant = request.document.tenant
        approval = tx.approvals.of(tenant=tenant, txn=request.id)
        if approval is not None and approval.state == "live" and tx.now < approval.expires:
            return tx.approvals.spent(tenant=tenant, jti=approval.jti) is not None
        if approval is not None and held(tx, tenant=tenant, jti=approval.jti) is not None:
            lapse(tx, [approval.jti])
    tx.requests.close(request.id)
    return True


def lapse(tx: Tx, jtis: list[str], *, now: int | None = None) -> int:
    """Record approvals as lapsed; gives how many. Their requests, if any, are locked already.

    `now` later than the transaction's ends approvals that still have time.
    """
    lapsed = tx.approvals.lapse(jtis, now=tx.now if now is None else now)
    for approval in lapsed:
        _record(tx, approval)
    return len(lapsed)


def _record(tx: Tx, approval: IssuedApproval) -> None:
    log.append(
        tx,
        ApprovalLapsed(
            time=tx.now, tenant=approval.tenant, subject=approval.txn, approval=approval.jti
        ),
    )
    if approval.txn.startswith(REQUEST):
        tx.requests.close(approval.txn)
        stored = tx.requests.get(tenant=approval.tenant, request_id=approval.txn)
        if stored is not None:
            announce(tx, stored.request)
