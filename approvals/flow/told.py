"""What the log tells of one subject, held against the rows that are about to be used.

A seal shows that the service wrote a row. It cannot show that the row is the newest of those that
the service wrote there, or that another row is missing: a request put back to pending after its
denial, a spend that was deleted, a passkey put back after it was revoked. The events of the subject
show it. Each names the one before, and the chain's sealed row says how many there are and which is
the last, so whoever wants an older row to hold must take events out of the log as well. The Merkle
tree, its signed checkpoints and the keys' mark show that.

Ask where nothing changes meanwhile: with the row's lock, or in a transaction that only reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from approvals.core import canonical
from approvals.core.ceremony import Decision
from approvals.core.errors import ProofError
from approvals.core.events import EventType, LeafEvent
from approvals.core.rebuild import Became, Use, follow
from approvals.store.seals import altered

if TYPE_CHECKING:
    from approvals.core.canonical import Json
    from approvals.core.quorum import Vote
    from approvals.store import Tx
    from approvals.store.approvals import IssuedApproval, Spend
    from approvals.store.requests import StoredRequest

_DECISIONS = {EventType.VOTE_APPROVE: Decision.APPROVE, EventType.VOTE_DENY: Decision.DENY}


@dataclass(frozen=True, slots=True)
class Subject:
    """The events of a subject, what they opened, and what became of what they name."""

    events: tuple[LeafEvent, ...]
    opened: tuple[dict[str, Json], ...]
    became: dict[str, Became]


def told(tx: Tx, *, tenant: str, subject: str) -> Subject:
    """The subject's events, complete and in order.

    Raises:
        Unavailable: some are missing, or they are not those that the service wrote (`row_altered`).
    """
    stored = tx.log.history(tenant=tenant, subject=subject)
    try:
        followed = follow(stored.leaves)
    except ProofError as error:
        raise altered("chain", tenant, subject, error.code) from error
    if (len(followed.events), followed.head) != (stored.count, stored.head):
        raise altered("chain", tenant, subject)
    return Subject(
        events=followed.events,
        opened=tuple(_opened(opening) for opening in stored.openings),
        became=followed.became,
    )


def must_be_told(tx: Tx, stored: StoredRequest) -> Subject:
    """Hold a request and its votes against their events; gives these.

    Raises:
        Unavailable: the events tell something else (`row_altered`).
    """
    request = stored.request
    subject = told(tx, tenant=request.document.tenant, subject=request.id)
    if subject.became.get(request.id) is not request.state:
        raise altered("request", request.id)
    votes = [event for event in subject.events if event.type in _DECISIONS]
    if len(votes) != len(request.votes):
        raise altered("vote", request.id)
    for event, vote in zip(votes, request.votes, strict=True):
        if (
            _DECISIONS[event.type],
            event.time,
            event.public["statement"],
            event.public["evidence"],
        ) != _vote(vote):
            raise altered("vote", request.id, vote.approver)
    return subject


def use_must_be_told(tx: Tx, approval: IssuedApproval, spend: Spend | None) -> None:
    """Hold what became of an approval against the events.

    Raises:
        Unavailable: the events tell something else (`row_altered`).
    """
    subject = told(tx, tenant=approval.tenant, subject=approval.txn)
    held = Use.SPENT.value if spend is not None else approval.state
    if subject.became.get(approval.jti) != held:
        raise altered("approval", approval.jti)
    reported = any(event.type is EventType.OUTCOME_REPORTED for event in subject.events)
    outcome = tx.approvals.outcome(tenant=approval.tenant, jti=approval.jti)
    if reported is not (outcome is not None):
        raise altered("outcome", approval.jti)


def _vote(vote: Vote) -> tuple[Decision, int, str | None, str | None]:
    statement, evidence = vote.statement, vote.evidence
    return (
        vote.decision,
        vote.time,
        None if statement is None else canonical.digest(statement.document()),
        None if evidence is None else canonical.digest(evidence.document()),
    )


def _opened(opening: str) -> dict[str, Json]:
    """The secret values of an event, as far as they are still kept."""
    members: dict[str, dict[str, Json]] = orjson.loads(opening)
    return {name: member["value"] for name, member in members.items()}
