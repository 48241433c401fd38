"""An approval is issued: in the transaction that decided, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from approvals.core.approval import APPROVAL, Approval, Basis, Counted
from approvals.core.approval import issue as sign
from approvals.flow.integrity.gate import require_open
from approvals.store.approvals import LIVE, IssuedApproval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from approvals.core.calls import ToolCall
    from approvals.core.requests import RequestDocument
    from approvals.flow.service import Service
    from approvals.store import Tx


def issue(
    service: Service,
    tx: Tx,
    *,
    call: ToolCall,
    hashed: str,
    document: RequestDocument,
    txn: str,
    basis: Basis,
    rules: tuple[str, ...],
    votes: Sequence[Counted],
) -> str:
    """Sign and store the approval of an occasion; gives the token. `hashed` is the call's hash.

    `txn` is `req_X` or `vrd_X`; the approval is `apr_X`, so one occasion has one approval.

    Raises:
        Unavailable: the log cannot tell of it (`closed`).
    """
    require_open(service, tx)
    approval = Approval(
        issuer=service.settings.url,
        audience=document.audience,
        jti=APPROVAL + txn.partition("_")[2],
        issued=tx.now,
        not_before=tx.now,
        expires=tx.now + service.settings.approval_life,
        user=document.user,
        agent=document.agent,
        txn=txn,
        tenant=document.tenant,
        target=call.target,
        tool=call.tool,
        call_hash=hashed,
        request_digest=document.digest(),
        bundle=document.bundle,
        rules=rules,
        basis=basis,
        precondition=document.precondition,
        request=document if basis is Basis.HUMAN else None,
        approvals=tuple(votes),
    )
    token = sign(approval, key=service.signer(tx))
    tx.approvals.issue(
        IssuedApproval(
            jti=approval.jti,
            tenant=document.tenant,
            txn=txn,
            enforcer=document.audience,
            call_hash=approval.call_hash,
            bundle=document.bundle,
            basis=basis.value,
            token=token,
            state=LIVE,
            created=tx.now,
            expires=approval.expires,
        )
    )
    return token
