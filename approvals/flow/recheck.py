"""Before an approval is spent: would it still be given?

Between the decision and the spending a person may have left, an agent may have been retired, a
rule may have become stricter, a tool may have been redefined. Spending takes the stricter of the
bundle that decided and the current one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, assert_never

import orjson

from approvals.core import b64, policy
from approvals.core.approval import APPROVAL, VERDICT
from approvals.core.ceremony import Decision
from approvals.core.quorum import assign
from approvals.core.verdict import Allow, Deny, Escalate
from approvals.flow.logged import verify_passkeys

if TYPE_CHECKING:
    from approvals.core.bundle.bundle import Bundle
    from approvals.core.quorum import Vote
    from approvals.core.verdict import Facts, Verdict
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
    same = current.bundle.version == approval.bundle
    # The same files can come back by the hand of somebody who approved: then it is decided again.
    if same and not any(vote.approver in current.excluded for vote in votes):
        return True
    facts = replace(
        policy.recorded_facts(orjson.loads(verdict_row.record)),
        now=tx.now,
        excluded=current.excluded,
    )
    pinned = service.bundle(tx, approval.tenant, approval.bundle)
    if not _still_the_tool(pinned, current.bundle, facts, enforcer=approval.enforcer):
        return False
    return _granted(policy.evaluate(current.bundle, facts), votes)


def _granted(verdict: Verdict, votes: tuple[Vote, ...]) -> bool:
    """Whether this verdict, with these votes, would give an approval."""
    match verdict:
        case Allow():
            return True
        case Deny():
            return False
        case Escalate():
            return assign(verdict.requirements, votes) is not None
        case _:
            assert_never(verdict)


def _still_the_tool(pinned: Bundle, current: Bundle, facts: Facts, *, enforcer: str) -> bool:
    """Whether tool and agent are still in this enforcer's charge, and the tool what it was."""
    call = facts.call
    before = pinned.tool(call.target, call.tool)
    now = current.tool(call.target, call.tool)
    # A tool that came to mean something else ("rug pull") is not what people said yes to, whatever
    # a looser rule makes of it now.
    if before is None or now is None or before.definition != now.definition:
        return False
    charged = current.enforcers.get(enforcer)
    return (
        charged is not None and call.target in charged.targets and charged.speaks_for(facts.agent)
    )


def _passkeys_live(tx: Tx, tenant: str, votes: tuple[Vote, ...]) -> bool:
    """Whether every passkey that approved is still enrolled for the person who used it."""
    used = sorted(
        (b64.encode(vote.evidence.credential_id), vote.approver)
        for vote in votes
        if vote.decision is Decision.APPROVE and vote.evidence is not None
    )
    # In one order for everybody: each is locked, and two spenders must not wait for each other.
    held = []
    for credential_id, approver in used:
        passkey = tx.people.passkey(credential_id)
        if passkey is None or (passkey.tenant, passkey.person) != (tenant, approver):
            return False
        held.append(passkey)
    verify_passkeys(tx, held, tenant=tenant)
    return True
