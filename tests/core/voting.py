"""Requests and the votes of people on them."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

from approvals.core.decision.ceremony import Decision, StepUp
from approvals.core.decision.requirement import Requirement
from approvals.core.decision.vote import Vote
from approvals.core.requests import Request, RequestDocument, cast
from tests.company import digest_of

if TYPE_CHECKING:
    from collections.abc import Sequence


CREATED, EXPIRES = 1000, 2000
PEOPLE = ("ada", "ben", "cleo", "dora")


def requirement(
    *eligible: str, quorum: int = 1, step_up: StepUp = StepUp.SESSION, rule: str = "rule"
) -> Requirement:
    return Requirement(
        rule=rule,
        reason="because",
        approvers=("group",),
        eligible=tuple(sorted(eligible)),
        quorum=quorum,
        step_up=step_up,
    )


def request_for(*requirements: Requirement, user: str = "uma") -> Request:
    document = RequestDocument(
        call_hash=digest_of("call"),
        tool_definition=digest_of("definition"),
        tenant="default",
        user=user,
        agent="agent",
        task=None,
        precondition=None,
        bundle=digest_of("bundle"),
        requirements=requirements,
        display_digest=digest_of("display"),
        audience="enforcer",
        nonce="nonce",
        created=CREATED,
        expires=EXPIRES,
    )
    return Request(id="req_1", document=document)


def yes(person: str, step_up: StepUp = StepUp.HARDWARE) -> Vote:
    return Vote(approver=person, decision=Decision.APPROVE, step_up=step_up, time=CREATED + 1)


def after(request: Request, *votes: Vote) -> Request:
    for vote in votes:
        request = cast(request, vote, now=CREATED + 1)
    return request


# An independent model: try every way of giving people places.
def fillable(requirements: Sequence[Requirement], votes: Sequence[Vote]) -> bool:
    places = [requirement for requirement in requirements for _ in range(requirement.quorum)]
    voters = {vote.approver: vote for vote in reversed(votes)}
    strength = {StepUp.SESSION: 0, StepUp.PASSKEY: 1, StepUp.HARDWARE: 2}
    return bool(places) and any(
        all(
            vote.decision is Decision.APPROVE
            and vote.approver in place.eligible
            and strength[vote.step_up] >= strength[place.step_up]
            for place, vote in zip(places, chosen, strict=True)
        )
        for chosen in permutations(voters.values(), len(places))
    )
