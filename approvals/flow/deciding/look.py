"""What a person sees: their inbox, and one request with everything that helps to decide.

Facts come from the stored canonical call and the display pinned with it. The agent's prose is a
field of its own and touches no other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from approvals.core import display
from approvals.core.requests import State, WhyNot, progress, why_not
from approvals.flow.acting.session import verify_present
from approvals.flow.acting.sight import needs_whole, to_look, visible_to
from approvals.flow.asking.limits import asked_again_at
from approvals.flow.deciding.compare import Difference, differences
from approvals.flow.knowing.logged import verify_request
from approvals.flow.status import effective_state

if TYPE_CHECKING:
    from approvals.core.decision.ceremony import Decision
    from approvals.core.display import Shown
    from approvals.flow.acting.session import Present, Session
    from approvals.flow.service import Service
    from approvals.policy.bundle.bundle import Bundle
    from approvals.store import Tx
    from approvals.store.lists import RequestLine
    from approvals.store.passkeys import Passkey
    from approvals.store.requests import StoredRequest

INBOX_LIMIT = 200
LATELY_LIMIT = 5


@dataclass(frozen=True, slots=True)
class RequestCard:
    """One request in a list. `waits` is true while it waits for this person's decision.

    `gist` are the first fields of its display, so that two calls of one tool can be told apart.
    """

    id: str
    title: str
    gist: tuple[str, ...]
    agent: str
    user: str
    target: str
    tool: str
    fingerprint: str
    state: State
    created: int
    expires: int
    waits: bool


@dataclass(frozen=True, slots=True)
class RequirementView:
    """Why people are asked, who, and how far it is."""

    rule: str
    reason: str
    approvers: tuple[str, ...]
    people: tuple[str, ...]
    step_up: str
    quorum: int
    filled: int


@dataclass(frozen=True, slots=True)
class VoteView:
    """Who decided what, when, with which reason."""

    person: str
    name: str
    decision: Decision
    time: int
    reason: str | None


@dataclass(frozen=True, slots=True)
class OutcomeView:
    """What became of an approved call: spent when, and what the enforcer reported."""

    approval: str
    expires: int
    consumed: int | None
    status: str | None
    reported: int | None


@dataclass(frozen=True, slots=True)
class PreviousView:
    """The last approved call like this one, and what is different now."""

    id: str
    decided: int
    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class RequestView:
    """A request as the page shows it. Every text is already drawn with visible marks.

    `looked` is true once the person has had it before them long enough to approve;
    `asked_again_at` is when a denied call may be asked about again.
    """

    id: str
    state: State
    now: int
    created: int
    expires: int
    agent: str
    agent_purpose: str
    agent_tier: int
    agent_owner: str
    user: str
    user_name: str
    shown: Shown
    risk: tuple[str, ...]
    fingerprint: str
    call_hash: str
    bundle: str
    requirements: tuple[RequirementView, ...]
    votes: tuple[VoteView, ...]
    explanation: str | None
    repeats: int
    may_decide: bool
    why_not: WhyNot | None
    needs_whole: bool
    opened_whole: bool
    looked: bool
    asked_again_at: int | None
    outcome: OutcomeView | None
    previous: PreviousView | None
    lately: tuple[RequestCard, ...]


def inbox(service: Service, session: Session) -> list[RequestCard]:
    """Requests the person is asked about or that were made for them, newest first."""
    with service.store.read() as tx:
        who = verify_present(service, tx, session)
        asked = tx.lists.asked(tenant=who.tenant, person=who.person, limit=INBOX_LIMIT)
        own = tx.lists.made_for(tenant=who.tenant, person=who.person, limit=INBOX_LIMIT)
        voted = tx.lists.voted_on([line.id for line in asked], person=who.person)
        waiting = {
            line.id
            for line in asked
            if line.state is State.PENDING
            and line.expires > tx.now
            and line.id not in voted
            and line.person != who.person
        }
        lines = {line.id: line for line in (*asked, *own)}
        return [
            _card(who.bundle, line, now=tx.now, waits=line.id in waiting)
            for line in sorted(lines.values(), key=lambda line: (-line.created, line.id))
        ]


def passkeys(service: Service, session: Session) -> list[Passkey]:
    """The person's own passkeys."""
    with service.store.read() as tx:
        who = verify_present(service, tx, session)
        return tx.passkeys.active(tenant=who.tenant, person=who.person)


def request(service: Service, session: Session, request_id: str) -> RequestView:
    """One request as this person may see it.

    Raises:
        Unauthenticated: they are signed out (`signed_out`).
        NotFound: there is none, or it is not for them to know of.
        Unavailable: the log tells something else of it than the database (`row_altered`).
    """
    with service.store.read() as tx:
        who, stored = visible_to(service, tx, session, request_id)
        verify_request(tx, stored)
        document = stored.request.document
        bundle = service.bundle(tx, who.tenant, document.bundle)
        tool = bundle.tool(stored.call.target, stored.call.tool)
        agent = bundle.agents[document.agent]
        not_theirs = why_not(stored.request, who.person, now=tx.now)
        return RequestView(
            id=stored.id,
            state=effective_state(stored.request, now=tx.now),
            now=tx.now,
            created=document.created,
            expires=document.expires,
            agent=display.visible(document.agent),
            agent_purpose=agent.purpose,
            agent_tier=agent.tier,
            agent_owner=_name(bundle, agent.owner),
            user=document.user,
            user_name=_name(bundle, document.user),
            shown=stored.shown,
            risk=() if tool is None else tool.groups,
            fingerprint=display.fingerprint(document.call_hash),
            call_hash=document.call_hash,
            bundle=document.bundle,
            requirements=tuple(
                RequirementView(
                    rule=requirement.rule,
                    reason=requirement.reason,
                    approvers=requirement.approvers,
                    people=tuple(_name(bundle, person) for person in requirement.eligible),
                    step_up=requirement.step_up.value,
                    quorum=needed,
                    filled=filled,
                )
                for requirement, filled, needed in progress(stored.request)
            ),
            votes=tuple(
                VoteView(
                    person=vote.approver,
                    name=_name(bundle, vote.approver),
                    decision=vote.decision,
                    time=vote.time,
                    reason=None if vote.reason is None else display.visible(vote.reason),
                )
                for vote in stored.request.votes
            ),
            explanation=None if stored.explanation is None else display.visible(stored.explanation),
            repeats=stored.repeats,
            may_decide=not_theirs is None,
            why_not=not_theirs,
            needs_whole=needs_whole(stored),
            opened_whole=tx.attention.opened_whole(request_id=stored.id, person=who.person),
            looked=to_look(tx, service.settings, who, stored.id) == 0,
            asked_again_at=asked_again_at(service.settings, stored.request),
            outcome=_outcome(tx, stored),
            previous=_previous(tx, stored, who),
            lately=_lately(tx, stored, who, bundle),
        )


def _outcome(tx: Tx, stored: StoredRequest) -> OutcomeView | None:
    tenant = stored.request.document.tenant
    approval = tx.approvals.of(tenant=tenant, txn=stored.id)
    if approval is None:
        return None
    spent = tx.approvals.spent(tenant=tenant, jti=approval.jti)
    reported = tx.approvals.outcome(tenant=tenant, jti=approval.jti)
    return OutcomeView(
        approval=approval.jti,
        expires=approval.expires,
        consumed=None if spent is None else spent.created,
        status=None if reported is None else reported.status,
        reported=None if reported is None else reported.created,
    )


def _lately(tx: Tx, stored: StoredRequest, who: Present, bundle: Bundle) -> tuple[RequestCard, ...]:
    """What the agent asked for before: for who is asked, not for whom it works."""
    if not tx.requests.has_seat(request_id=stored.id, person=who.person):
        return ()
    lines = tx.lists.lately(
        tenant=who.tenant,
        agent=stored.request.document.agent,
        before=stored.request.document.created,
        besides=stored.id,
        limit=LATELY_LIMIT,
    )
    # Not the gist: these may be calls that this person was not asked about.
    return tuple(replace(_card(bundle, line, now=tx.now, waits=False), gist=()) for line in lines)


def _previous(tx: Tx, stored: StoredRequest, who: Present) -> PreviousView | None:
    """The last call like this one, out of those that this person may see: it shows arguments."""
    document = stored.request.document
    last = tx.requests.last_approved(
        tenant=document.tenant,
        target=stored.call.target,
        tool=stored.call.tool,
        agent=document.agent,
        before=document.created,
        person=who.person,
    )
    if last is None or last.id == stored.id or last.decided is None:
        return None
    return PreviousView(
        id=last.id,
        decided=last.decided,
        differences=differences(last.call.args, stored.call.args),
    )


def _card(bundle: Bundle, line: RequestLine, *, now: int, waits: bool) -> RequestCard:
    tool = bundle.tool(line.target, line.tool)
    expired = line.state is State.PENDING and line.expires <= now
    return RequestCard(
        id=line.id,
        title=display.visible(line.tool) if tool is None else tool.title,
        gist=line.gist,
        agent=display.visible(line.agent),
        user=_name(bundle, line.person),
        target=display.visible(line.target),
        tool=display.visible(line.tool),
        fingerprint=display.fingerprint(line.call_hash),
        state=State.EXPIRED if expired else line.state,
        created=line.created,
        expires=line.expires,
        waits=waits,
    )


def _name(bundle: Bundle, person: str) -> str:
    known = bundle.people.get(person)
    return display.name(person if known is None else known.name)
