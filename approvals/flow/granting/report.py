"""The enforcer tells what became of the call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from approvals import log
from approvals.core.errors import Conflict, Invalid, NotFound
from approvals.core.history.events import OutcomeReported
from approvals.flow.acting import access
from approvals.flow.knowing.logged import verify_use
from approvals.flow.locks import held
from approvals.flow.transition import announce

if TYPE_CHECKING:
    from approvals.flow.acting.caller import Caller
    from approvals.flow.service import Service

STATUSES = ("ok", "error")


def report(
    service: Service,
    caller: Caller,
    jti: str,
    *,
    status: str,
    output_hash: str | None = None,
) -> None:
    """Record the outcome of a call whose approval was spent. The same report twice is one report.

    Raises:
        Invalid: an unknown status (`status`).
        Unauthenticated: the caller is not a registered enforcer any more.
        NotFound: no such approval of this caller.
        Conflict: the approval was not spent (`not_consumed`), or another outcome was reported
            (`already_reported`).
    """
    if status not in STATUSES:
        raise Invalid(f"not one of {', '.join(STATUSES)}", code="status", place="/status")
    with service.store.begin() as tx:
        approval = held(tx, tenant=caller.tenant, jti=jti)
        # Not whether the target and the agent are still its own: it tells of what it did when they
        # were, and nothing that ran must go untold because the bundle changed meanwhile.
        access.enforcer_of(service, tx, caller)
        if approval is None or approval.enforcer != caller.enforcer:
            raise NotFound("no such approval")
        spent = tx.approvals.spent(tenant=caller.tenant, jti=jti)
        if spent is None:
            raise Conflict("this approval has not been spent", code="not_consumed")
        verify_use(tx, approval, spent)
        fresh = tx.approvals.report(
            tenant=caller.tenant, jti=jti, status=status, output_hash=output_hash, now=tx.now
        )
        if not fresh:
            known = tx.approvals.outcome(tenant=caller.tenant, jti=jti)
            if known is None or (known.status, known.output_hash) != (status, output_hash):
                raise Conflict("another outcome was reported before", code="already_reported")
            return
        log.append(
            tx,
            OutcomeReported(
                time=tx.now,
                tenant=caller.tenant,
                subject=approval.txn,
                approval=jti,
                status=status,
                output_hash=output_hash,
            ),
        )
        stored = tx.requests.get(tenant=caller.tenant, request_id=approval.txn)
        if stored is not None:
            announce(tx, stored.request)
