"""A request for people's approval: what was asked, who voted, what became of it.

Transitions are functions of (request, input, now) to a new request, or a `TransitionError`. What
holds:

- Deny, expiry, cancellation and revocation absorb: nothing leaves those states.
- A request is approved only by `assign` over its votes, recomputed at every vote: distinct persons,
  one place each, all places of all requirements at once. A person in two groups fills one place.
- The user that a call is made for is never an approver of it, whatever the requirements say.
- Expiry is a condition on `now` in every transition, not the effect of a job having run.

The document of a request is what its digest covers and what the approval carries: the occasion,
where the call hash names only the content.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from approvals.core import canonical, documents
from approvals.core.ceremony import Decision, Evidence, Statement, StepUp
from approvals.core.errors import TransitionError
from approvals.core.requirement import Requirement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from approvals.core.canonical import Json

__all__ = [
    "Decision",
    "Request",
    "RequestDocument",
    "Requirement",
    "State",
    "StepUp",
    "Vote",
    "assign",
    "cancel",
    "cast",
    "expire",
    "progress",
    "revoke",
]

DOCUMENT_TYPE = "assent/request/1"

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """One person's answer, already checked: whoever makes one has verified its evidence."""

    approver: str
    decision: Decision
    step_up: StepUp
    time: int
    statement: Statement | None = None
    evidence: Evidence | None = None
    reason: str | None = None
    channel: str = "web"


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


def cast(request: Request, vote: Vote, *, now: int) -> Request:
    """The request with one more vote, and the state that follows from all of its votes.

    One deny by any eligible person ends it and needs no step-up: saying no is never made harder
    than saying yes. Raises `TransitionError`: `not_pending`, `expired`, `not_eligible`,
    `already_voted`, `step_up_too_low`.
    """
    _must_be_open(request, now=now)
    requirements = request.document.requirements
    asked = [requirement for requirement in requirements if vote.approver in requirement.eligible]
    # The requester's own user is refused even where a requirement lists them: self-approval.
    if not asked or vote.approver == request.document.user:
        raise TransitionError("this person is not asked", code="not_eligible")
    if any(earlier.approver == vote.approver for earlier in request.votes):
        raise TransitionError("this person has voted", code="already_voted")
    voted = replace(request, votes=(*request.votes, vote))
    if vote.decision is Decision.DENY:
        return replace(voted, state=State.DENIED)
    if not any(requirement.admits(vote) for requirement in asked):
        raise TransitionError("a stronger step-up is asked for", code="step_up_too_low")
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


def assign(
    requirements: Sequence[Requirement], votes: Sequence[Vote]
) -> tuple[tuple[Vote, str], ...] | None:
    """Each place's vote and rule, in the order of votes, if distinct persons fill all at once.

    None if they cannot, and also where nothing is required: nobody having been asked is not an
    approval. Deterministic: the same requirements and votes give the same assignment.
    """
    wanted = sum(requirement.quorum for requirement in requirements)
    if not 0 < wanted <= len(votes):
        return None
    filled = _match(requirements, votes)
    if len(filled) < wanted:
        return None
    return tuple((votes[index], requirements[filled[index]].rule) for index in sorted(filled))


def progress(request: Request) -> list[tuple[Requirement, int, int]]:
    """For each requirement the places filled and the places there are."""
    requirements = request.document.requirements
    filled = list(_match(requirements, request.votes).values())
    return [
        (requirement, filled.count(index), requirement.quorum)
        for index, requirement in enumerate(requirements)
    ]


def _match(requirements: Sequence[Requirement], votes: Sequence[Vote]) -> dict[int, int]:
    """A largest matching: index of vote → index of the requirement where it fills a place.

    Augmenting paths (Berge, Hopcroft and Karp), a place at a time, breadth first and iterative,
    since votes may come from a token. A second vote of one person is passed over: persons are
    matched, not votes.
    """
    first: dict[str, int] = {}
    for index, vote in enumerate(votes):
        first.setdefault(vote.approver, index)
    persons = sorted(first.values())
    admitted = [
        [index for index in persons if requirement.admits(votes[index])]
        for requirement in requirements
    ]
    filled: dict[int, int] = {}
    for start, requirement in enumerate(requirements):
        for _ in range(min(requirement.quorum, len(votes))):
            path = _augmenting(start, admitted, filled)
            if path is None:
                break
            filled.update(path)
    return filled


def _augmenting(
    start: int, admitted: Sequence[Sequence[int]], filled: Mapping[int, int]
) -> dict[int, int] | None:
    """Changes to `filled` that give `start` one more person and leave the others as many."""
    wanted_by: dict[int, int] = {}  # person → the requirement that would take them
    gives_up: dict[int, int] = {}  # requirement → the person it would let go
    queue = deque([start])
    while queue:
        wanting = queue.popleft()
        for person in admitted[wanting]:
            holder = filled.get(person)
            if person in wanted_by or holder == wanting:
                continue
            wanted_by[person] = wanting
            if holder is None:
                return _unwind(person, start, wanted_by, gives_up)
            if holder != start and holder not in gives_up:
                gives_up[holder] = person
                queue.append(holder)
    return None


def _unwind(
    free: int, start: int, wanted_by: Mapping[int, int], gives_up: Mapping[int, int]
) -> dict[int, int]:
    """The path that ends at `free`: each requirement on it takes one person, lets one go."""
    changes = {free: wanted_by[free]}
    person = free
    while (taker := wanted_by[person]) != start:
        person = gives_up[taker]
        changes[person] = wanted_by[person]
    return changes
