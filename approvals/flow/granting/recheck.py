"""Before an approval is given, and before it is spent: would it be given under what holds now?

Between the submission, the votes and the spending a person may have left, an agent or an enforcer
may have been retired, a rule may have become stricter, a tool may have been redefined. Issuing and
spending take the stricter of the bundle that decided and the current one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, assert_never

import orjson

from approvals import policy
from approvals.core import b64
from approvals.core.approval import APPROVAL, REQUEST, VERDICT
from approvals.core.decision.ceremony import Decision
from approvals.core.decision.quorum import assign
from approvals.flow.knowing.logged import verify_passkeys
from approvals.policy.verdict import Allow, Deny, Escalate

if TYPE_CHECKING:
    from approvals.core.decision.vote import Vote
    from approvals.core.requests import Request
    from approvals.flow.service import Service
    from approvals.policy.bundle.bundle import Bundle
    from approvals.policy.verdict import Facts, Verdict
    from approvals.store import Tx
    from approvals.store.approvals import IssuedApproval


@dataclass(frozen=True, slots=True)
class _Grant:
    """What an approval rests on: the verdict, the bundle that gave it, for whom, and the votes."""

    tenant: str
    verdict: str
    bundle: str
    enforcer: str
    votes: tuple[Vote, ...]


def still_allowed(service: Service, tx: Tx, approval: IssuedApproval) -> bool:
    """Whether the approval holds under the current bundle, with the passkeys enrolled now."""
    stored = tx.requests.get(tenant=approval.tenant, request_id=approval.txn)
    grant = _Grant(
        tenant=approval.tenant,
        verdict=VERDICT + approval.jti.removeprefix(APPROVAL),
        bundle=approval.bundle,
        enforcer=approval.enforcer,
        votes=() if stored is None else stored.request.votes,
    )
    return _holds(service, tx, grant)


def may_be_approved(service: Service, tx: Tx, request: Request) -> bool:
    """Whether the votes on a locked request would give an approval that could be spent now.

    The passkeys that voted are locked, in the order of their ids.
    """
    document = request.document
    grant = _Grant(
        tenant=document.tenant,
        verdict=VERDICT + request.id.removeprefix(REQUEST),
        bundle=document.bundle,
        enforcer=document.audience,
        votes=request.votes,
    )
    return _holds(service, tx, grant)


def _holds(service: Service, tx: Tx, grant: _Grant) -> bool:
    verdict_row = tx.verdicts.get(tenant=grant.tenant, verdict_id=grant.verdict)
    votes = grant.votes
    if verdict_row is None or not _passkeys_live(tx, grant.tenant, votes):
        return False
    current = service.current_bundle(tx, grant.tenant)
    same = current.bundle.version == grant.bundle
    # The same files can come back by the hand of somebody who approved: then it is decided again.
    if same and not any(vote.approver in current.excluded for vote in votes):
        return True
    facts = replace(
        policy.recorded_facts(orjson.loads(verdict_row.record)),
        now=tx.now,
        excluded=current.excluded,
    )
    pinned = service.bundle(tx, grant.tenant, grant.bundle)
    if not _still_the_tool(pinned, current.bundle, facts, enforcer=grant.enforcer):
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
    return charged is not None and charged.serves(target=call.target, agent=facts.agent)


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
        passkey = tx.passkeys.get(credential_id)
        if passkey is None or (passkey.tenant, passkey.person) != (tenant, approver):
            return False
        held.append(passkey)
    verify_passkeys(tx, held, tenant=tenant)
    return True
