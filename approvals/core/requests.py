"""A request for people's approval: what was asked, who voted, what became of it.

Transitions are functions of (request, input, now) to a new request, or a `TransitionError`. What
holds:

- Deny, expiry, cancellation and revocation absorb: nothing leaves those states.
- A request is approved only when `quorum.assign`, recomputed at every vote, fills every place.
- The user that a call is made for is never an approver of it, whatever the requirements say.
- Expiry is a condition on `now` in every transition, not the effect of a job having run.

The document of a request is what its digest covers and what the approval carries: the occasion,
where the call hash names only the content.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from approvals.core import canonical, documents, sizes
from approvals.core.decision.ceremony import Decision
from approvals.core.decision.quorum import assign, filled
from approvals.core.decision.requirement import Requirement
from approvals.core.errors import TransitionError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from approvals.core.canonical import Json
    from approvals.core.decision.vote import Vote

DOCUMENT_TYPE = "assent/request/1"

OPEN_TYPE = "assent/open/1"

_DOCUMENT: Mapping[str, tuple[type, ...]] = {
    "typ": (str,),
    "call_hash": (str,),
    "tool_definition": (str,),
    "tenant": (str,),
    "user": (str,),
    "agent": (str,),
    "task": (str, documents.NULL),
    "precondition": (str, documents.NULL),
    "bundle": (str,),
    "requirements": (list,),
    "display_digest": (str, documents.NULL),
    "audience": (str,),
    "nonce": (str,),
    "created": (int,),
    "expires": (int,),
}


def open_key(
    *,
    tenant: str,
    audience: str,
    agent: str,
    user: str,
    task: str | None,
    precondition: str | None,
    call_hash: str,
) -> str:
    """What makes two submissions the same question: the digest of everything that it is about."""
    return canonical.digest(
        [OPEN_TYPE, tenant, audience, agent, user, task, precondition, call_hash]
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestDocument:
    """The occasion of a call, all of which the request digest covers.

    With no requirements and no display it describes a call that policy allowed without asking
    anybody.
    """

    call_hash: str
    tool_definition: str
    tenant: str
    user: str
    agent: str
    task: str | None
    precondition: str | None
    bundle: str
    requirements: tuple[Requirement, ...]
    display_digest: str | None
    audience: str
    nonce: str
    created: int
    expires: int

    def document(self) -> dict[str, Json]:
        """The JSON form: every member always there, null where there is nothing."""
        return {
            "typ": DOCUMENT_TYPE,
            "call_hash": self.call_hash,
            "tool_definition": self.tool_definition,
            "tenant": self.tenant,
            "user": self.user,
            "agent": self.agent,
            "task": self.task,
            "precondition": self.precondition,
            "bundle": self.bundle,
            "requirements": [requirement.document() for requirement in self.requirements],
            "display_digest": self.display_digest,
            "audience": self.audience,
            "nonce": self.nonce,
            "created": self.created,
            "expires": self.expires,
        }

    def digest(self) -> str:
        """The request digest: SHA-256 of the canonical form, base64url."""
        return canonical.digest(self.document())

    def open_key(self) -> str:
        """What this request has in common with every submission of the same question."""
        return open_key(
            tenant=self.tenant,
            audience=self.audience,
            agent=self.agent,
            user=self.user,
            task=self.task,
            precondition=self.precondition,
            call_hash=self.call_hash,
        )

    @classmethod
    def from_document(cls, document: object, place: str = "request") -> RequestDocument:
        """Read a request's document strictly; `Invalid` names the member that is wrong."""
        it = documents.read(document, _DOCUMENT, place)
        if it["typ"] != DOCUMENT_TYPE:
            documents.refuse(f"{place}.typ", f"not {DOCUMENT_TYPE}")
        created = documents.moment(it["created"], f"{place}.created")
        expires = documents.moment(it["expires"], f"{place}.expires")
        if expires <= created:
            documents.refuse(f"{place}.expires", "not after created")
        if it["display_digest"] is not None:
            documents.digest(it["display_digest"], f"{place}.display_digest")
        return cls(
            call_hash=documents.digest(it["call_hash"], f"{place}.call_hash"),
            tool_definition=it["tool_definition"],
            tenant=it["tenant"],
            user=it["user"],
            agent=it["agent"],
            task=it["task"],
            precondition=it["precondition"],
            bundle=it["bundle"],
            requirements=tuple(
                Requirement.from_document(item, f"{place}.requirements[{index}]")
                for index, item in enumerate(it["requirements"])
            ),
            display_digest=it["display_digest"],
            audience=it["audience"],
            nonce=it["nonce"],
            created=created,
            expires=expires,
        )


class State(StrEnum):
    """Where a request is; only `PENDING` can be left, and `APPROVED` by revocation."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request at one moment; votes in the order in which they were cast."""

    id: str
    document: RequestDocument
    state: State = State.PENDING
    votes: tuple[Vote, ...] = ()


class WhyNot(StrEnum):
    """Why somebody may not decide a request."""

    NOT_PENDING = "not_pending"
    OWN_REQUEST = "own_request"
    NOT_ASKED = "not_asked"
    ALREADY_VOTED = "already_voted"


_WHY_NOT: Final = {
    WhyNot.NOT_PENDING: "the request is over",
    WhyNot.OWN_REQUEST: "nobody decides a call that is made for them",
    WhyNot.NOT_ASKED: "this person is not asked",
    WhyNot.ALREADY_VOTED: "this person has decided already",
}


def why_not(request: Request, person: str, *, now: int) -> WhyNot | None:
    """Why this person may not decide; None: they may, with a step-up that a rule takes."""
    document = request.document
    if request.state is not State.PENDING or now >= document.expires:
        return WhyNot.NOT_PENDING
    # Also where a requirement lists them: self-approval.
    if person == document.user:
        return WhyNot.OWN_REQUEST
    if not any(requirement.asks(person) for requirement in document.requirements):
        return WhyNot.NOT_ASKED
    if any(vote.approver == person for vote in request.votes):
        return WhyNot.ALREADY_VOTED
    return None


def require_may_decide(request: Request, person: str, *, now: int) -> None:
    """Refuse who may not decide: `TransitionError`, with a `WhyNot` as its code."""
    found = why_not(request, person, now=now)
    if found is not None:
        raise TransitionError(_WHY_NOT[found], code=found.value)


def cast(request: Request, vote: Vote, *, now: int) -> Request:
    """The request with one more vote, and the state that follows from all of its votes.

    One deny by any eligible person ends it and needs no step-up: saying no is never made harder
    than saying yes. Whoever fills a place is never refused for how many voted before; so there are
    at most `sizes.VOTES`. Raises `TransitionError`: a `WhyNot`, `step_up_too_low`, `votes_full`.
    """
    require_may_decide(request, vote.approver, now=now)
    requirements = request.document.requirements
    asked = [requirement for requirement in requirements if requirement.asks(vote.approver)]
    voted = replace(request, votes=(*request.votes, vote))
    if vote.decision is Decision.DENY:
        return replace(voted, state=State.DENIED)
    if not any(requirement.admits(vote) for requirement in asked):
        raise TransitionError("a stronger step-up is asked for", code="step_up_too_low")
    if len(request.votes) >= sizes.PLACES and sum(filled(requirements, voted.votes)) <= sum(
        filled(requirements, request.votes)
    ):
        raise TransitionError(
            "enough people approved where you are asked; others are waited for", code="votes_full"
        )
    if assign(requirements, voted.votes) is None:
        return voted
    return replace(voted, state=State.APPROVED)


def expire(request: Request, *, now: int) -> Request:
    """Record that the time of a pending request has run out (`not_pending`, `not_yet_expired`)."""
    if request.state is not State.PENDING:
        raise TransitionError(f"the request is {request.state}", code="not_pending")
    if now < request.document.expires:
        raise TransitionError("the request still has time", code="not_yet_expired")
    return replace(request, state=State.EXPIRED)


def cancel(request: Request, *, now: int) -> Request:
    """The caller withdraws a pending request (`not_pending`, `expired`)."""
    _must_be_open(request, now=now)
    return replace(request, state=State.CANCELLED)


def revoke(request: Request, *, now: int) -> Request:
    """Take back a request, also one already approved (`not_pending`, `expired`)."""
    if request.state is not State.APPROVED:
        _must_be_open(request, now=now)
    return replace(request, state=State.REVOKED)


def _must_be_open(request: Request, *, now: int) -> None:
    if request.state is not State.PENDING:
        raise TransitionError(f"the request is {request.state}", code="not_pending")
    if now >= request.document.expires:
        raise TransitionError("the request has expired", code="expired")


def progress(request: Request) -> list[tuple[Requirement, int, int]]:
    """For each requirement the places filled and the places there are."""
    requirements = request.document.requirements
    return [
        (requirement, places, requirement.quorum)
        for requirement, places in zip(
            requirements, filled(requirements, request.votes), strict=True
        )
    ]
