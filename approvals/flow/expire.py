"""Time runs out. Wherever something is granted that is a condition; here it is only recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from approvals import log
from approvals.core.events import Event, EventType
from approvals.core.requests import State
from approvals.core.requests import expire as expire_request
from approvals.flow.transition import announce, end

if TYPE_CHECKING:
    from approvals.flow.service import Service
    from approvals.store import Tx
    from approvals.store.requests import StoredRequest

BATCH = 100
FORGOTTEN = 2_000


def expire(service: Service) -> int:
    """Record requests whose time has passed and approvals that were never spent; gives how many.

    Challenges, signed-in browsers and codes whose time has passed are forgotten.
    Idempotent, and safe in any number of processes: each is recorded by whoever changes its row.
    """
    with service.store.read() as tx:
        due = tx.requests.due(now=tx.now, limit=BATCH)
        lapsing = tx.approvals.lapsing(now=tx.now, limit=BATCH)
        outlived = tx.people.outlived(now=tx.now)
    recorded = 0
    for tenant, request_id in due:
        with service.store.begin() as tx:
            stored = tx.requests.get(tenant=tenant, request_id=request_id, lock=True)
            if stored is not None and stored.request.state is State.PENDING:
                recorded += ended(tx, stored)
    for approval in lapsing:
        with service.store.begin() as tx:
            recorded += _lapse(tx, approval.tenant, approval.jti)
    if outlived:
        # Anybody can ask for a challenge to sign in with: what they leave behind must not add up.
        with service.store.begin() as tx:
            tx.people.forget_outlived(now=tx.now, limit=FORGOTTEN)
    return recorded


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
        if approval is not None:
            _lapse(tx, tenant, approval.jti)
    tx.requests.close(request.id)
    return True


def _lapse(tx: Tx, tenant: str, jti: str) -> bool:
    # Who spends it holds the same lock, so it is seen here whether it was spent: one approval must
    # never be logged as both.
    approval = tx.approvals.get(tenant=tenant, jti=jti, lock=True)
    if approval is None or tx.approvals.spent(tenant=tenant, jti=jti) is not None:
        return False
    if not tx.approvals.end(jti, state="lapsed"):
        return False
    log.append(
        tx,
        Event(
            type=EventType.APPROVAL_LAPSED,
            time=tx.now,
            tenant=tenant,
            public={"approval": jti, "subject": approval.txn, "call_hash": approval.call_hash},
            personal={},
        ),
        request_id=approval.txn,
    )
    if approval.txn.startswith("req_"):
        tx.requests.close(approval.txn)
        stored = tx.requests.get(tenant=tenant, request_id=approval.txn)
        if stored is not None:
            announce(tx, stored.request)
    return True
