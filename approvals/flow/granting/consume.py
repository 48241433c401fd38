"""An approval is spent: once.

What is promised is at-most-once authorisation. What the enforcer does with it afterwards, and
whether it manages to, is outside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from approvals import log
from approvals.core import canonical
from approvals.core import receipt as receipts
from approvals.core.errors import Conflict, Invalid, NotFound
from approvals.core.history.events import ApprovalConsumed, ApprovalRefused
from approvals.flow.acting import access
from approvals.flow.granting.recheck import still_allowed
from approvals.flow.integrity.gate import require_open
from approvals.flow.knowing.logged import verify_use
from approvals.flow.locks import held
from approvals.flow.transition import announce
from approvals.store.approvals import Spend

if TYPE_CHECKING:
    from approvals.flow.acting.caller import Caller
    from approvals.flow.knowing.logged import Subject
    from approvals.flow.service import Service
    from approvals.store import Tx
    from approvals.store.approvals import IssuedApproval

LONGEST_USE_ID = 200
KEPT_REFUSALS = 100
"""Refusals that are logged of one approval: each of its uses reads its history."""


def consume(service: Service, caller: Caller, jti: str, *, call_hash: str, use_id: str) -> str:
    """Spend an approval for a call and return the signed receipt.

    The same `use_id` again gets the same token, so a crash before the answer is safe to retry.

    Raises:
        Invalid: a `use_id` that is empty or too long (`use_id`).
        Unauthenticated: the caller is not a registered enforcer any more.
        NotFound: no such approval of this caller.
        Conflict: refused, with the reason as its code: `call_mismatch`, `consumed`, `expired`,
            `revoked`. A refusal is logged, up to `KEPT_REFUSALS` of an approval.
        Unavailable: the log cannot tell of it (`closed`), or tells something else of the approval
            than the database does (`row_altered`); nothing was spent.
    """
    if not 0 < len(use_id) <= LONGEST_USE_ID:
        raise Invalid(f"not 1 to {LONGEST_USE_ID} characters", code="use_id", place="/use_id")
    with service.store.begin() as tx:
        approval = held(tx, tenant=caller.tenant, jti=jti)
        # Last, so that nothing was waited for after it.
        access.enforcer_of(service, tx, caller)
        require_open(service, tx)
        if approval is None or approval.enforcer != caller.enforcer:
            raise NotFound("no such approval")
        spent = tx.approvals.spent(tenant=caller.tenant, jti=jti)
        told = verify_use(tx, approval, spent)
        if spent is None:
            reason = _refusal(service, tx, approval, call_hash)
            given = _spend(service, tx, approval, use_id) if reason is None else None
        else:
            reason = _other_use(spent, approval, call_hash=call_hash, use_id=use_id)
            given = spent.receipt if reason is None else None
        if given is None:
            reason = reason or "revoked"
            _refuse(tx, approval, reason, told)
    # After the commit, so that the refusal stays in the log.
    if given is None:
        raise Conflict(_SENTENCES[reason or "revoked"], code=reason)
    return given


_SENTENCES = {
    "call_mismatch": "the approval is for another call",
    "consumed": "the approval has been spent",
    "expired": "the approval has expired",
    "revoked": "the approval does not hold any more",
}


def _refusal(service: Service, tx: Tx, approval: IssuedApproval, call_hash: str) -> str | None:
    """Why a live approval cannot be spent, if it cannot."""
    if approval.call_hash != call_hash:
        return "call_mismatch"
    if tx.now >= approval.expires:
        return "expired"
    if approval.state != "live" or not still_allowed(service, tx, approval):
        return "revoked"
    return None


def _other_use(
    spent: Spend, approval: IssuedApproval, *, call_hash: str, use_id: str
) -> str | None:
    """Why this is not the use that has spent the approval, if it is not."""
    if call_hash != approval.call_hash:
        return "call_mismatch"
    return None if use_id == spent.use_id else "consumed"


def _spend(service: Service, tx: Tx, approval: IssuedApproval, use_id: str) -> str | None:
    """Spend the approval and give the receipt; None where it does not hold after all."""
    spend = Spend(approval.jti, use_id, _receipt(service, tx, approval, use_id), tx.now)
    if not tx.approvals.spend(
        spend,
        tenant=approval.tenant,
        enforcer=approval.enforcer,
        call_hash=approval.call_hash,
    ):
        return None
    _log_spent(tx, approval, spend)
    return spend.receipt


def _receipt(service: Service, tx: Tx, approval: IssuedApproval, use_id: str) -> str:
    """Sign that this use of the approval is the one that counts; for storing with the spend."""
    receipt = receipts.Receipt(
        issuer=service.settings.url,
        audience=approval.enforcer,
        tenant=approval.tenant,
        jti=approval.jti,
        txn=approval.txn,
        call_hash=approval.call_hash,
        use_id=use_id,
        consumed=tx.now,
    )
    return receipts.sign(receipt, key=service.signer(tx))


def _log_spent(tx: Tx, approval: IssuedApproval, spend: Spend) -> None:
    log.append(
        tx,
        ApprovalConsumed(
            time=tx.now,
            tenant=approval.tenant,
            subject=approval.txn,
            approval=approval.jti,
            receipt=canonical.digest(spend.receipt),
            use_id=spend.use_id,
        ),
    )
    if approval.txn.startswith("req_"):
        tx.requests.close(approval.txn)
        stored = tx.requests.get(tenant=approval.tenant, request_id=approval.txn)
        if stored is not None:
            announce(tx, stored.request)


def _refuse(tx: Tx, approval: IssuedApproval, reason: str, told: Subject) -> None:
    if reason == "revoked":
        # Or the same call would find this dead approval, and nobody be asked, until it lapses.
        tx.requests.close(approval.txn)
    logged = sum(isinstance(each.event, ApprovalRefused) for each in told.told)
    if logged < KEPT_REFUSALS:
        log.append(
            tx,
            ApprovalRefused(
                time=tx.now,
                tenant=approval.tenant,
                subject=approval.txn,
                approval=approval.jti,
                code=reason,
            ),
        )
