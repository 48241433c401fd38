"""Before an approval is spent: would it still be given?

Between the decision and the spending a person may have left, an agent may have been retired, a
rule may have become stricter. Spending takes the stricter of the bundle that decided and the
current one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, assert_never

import orjson

from approvals.core import b64, policy
from approvals.core.approval import APPROVAL, VERDICT
from approvals.core.requests import Decision, assign
from approvals.core.verdict import Allow, Deny, Escalate

if TYPE_CHECKING:
    from approvals.core.requests import Vote
    from approvals.flow.service import Service
    from approvals.store import Tx
    from approvals.store.approvals import IssuedApproval


def still_allowed(service: Service, tx: Tx, approval: IssuedApproval) -> bool:
    """Whether the approval holds under the current bundle, with the passkeys enrolled now."""
    verdict_row = tx.requests.verdict(
        tenant=approval.tenant, verdict_id=VERDICT + approval.jti.removeprefix(APPROVAL)
    )
    if verdict_row is None:
        return False
    stored = tx.requests.get(tenant=approval.tenant, request_id=approval.txn)
    votes = () if stored is None else stored.request.votes
    if not _passkeys_live(tx, approval.tenant, votes):
        return False
    current = service.current_bundle(tx, approval.tenant)
    if current.bundle.version == approval.bundle:
        return True
    facts = replace(
        policy.recorded_facts(orjson.loads(verdict_row.record)),
        now=tx.now,
        excluded=current.excluded,
    )
    verdict = policy.evaluate(current.bundle, facts)
    match verdict:
        case Allow():
            return True
        case Deny():
            return False
        case Escalate():
            return assign(verdict.requirements, votes) is not None
        case _:
            assert_never(verdict)


def _passkeys_live(tx: Tx, tenant: str, votes: tuple[Vote, ...]) -> bool:
    """Whether every passkey that approved is still enrolled for the person who used it."""
    for vote in votes:
        if vote.decision is not Decision.APPROVE or vote.evidence is None:
            continue
        passkey = tx.people.passkey(b64.encode(vote.evidence.credential_id))
        if passkey is None or (passkey.tenant, passkey.person) != (tenant, vote.approver):
            return False
    return True
