"""Whether people really decided what an approval says they decided.

The service's signature says that the service believed it. The checks here need no such belief: with
a directory of approvers' keys in hand, they hold the passkeys' own signatures against the claims,
and count the places again. Whoever holds only the service's signing key can pass none of them.

What they cannot know is whether the bundle asked for the right people: the requirements are those
that every counted person saw and signed, so that changing them takes all of their passkeys, not the
service's key.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from approvals.core.approval import MAX_LIFE
from approvals.core.decision.ceremony import verify_evidence
from approvals.core.decision.quorum import assign
from approvals.core.errors import ApprovalRejected, EvidenceError

if TYPE_CHECKING:
    from approvals.core.approval import Approval
    from approvals.core.decision.requirement import Requirement
    from approvals.core.decision.vote import Vote
    from approvals.core.directory import Directory
    from approvals.core.requests import RequestDocument


def verify_request(approval: Approval) -> RequestDocument:
    """The request that people were shown, once it is the one that the claims are about.

    Raises `ApprovalRejected("evidence")` where the claims say more, or something else, than was
    asked.
    """
    request = approval.request
    if request is None:
        raise ApprovalRejected(
            "evidence", "no request stands behind this approval", place="request"
        )
    if request.digest() != approval.request_digest:
        raise ApprovalRejected(
            "evidence", "the request is not the one named", place="request_digest"
        )
    # Each of these was decided on. A claim that differs was put in afterwards.
    for place, asked, claimed in (
        ("call_hash", request.call_hash, approval.call_hash),
        ("user", request.user, approval.user),
        ("agent", request.agent, approval.agent),
        ("audience", request.audience, approval.audience),
        ("tenant", request.tenant, approval.tenant),
        ("bundle", request.bundle, approval.bundle),
        ("precondition", request.precondition, approval.precondition),
        ("requirements", tuple(sorted({it.rule for it in request.requirements})), approval.rules),
    ):
        if asked != claimed:
            raise ApprovalRejected(
                "evidence", "the claims differ from what was asked", place=f"request.{place}"
            )
    # A decision kept in a drawer must not become an approval long after its request is over.
    if approval.issued < request.created or approval.expires > request.expires + MAX_LIFE:
        raise ApprovalRejected("evidence", "not issued in the time of its request", place="exp")
    return request


def verify_votes(
    approval: Approval,
    request: RequestDocument,
    people: Directory | None,
    *,
    skew: int,
    past: bool = False,
) -> None:
    """Every counted vote is that person's yes to this request; with a directory, by their key.

    By a key that is theirs now; for what is `past`, one that was theirs when they decided. Raises
    `ApprovalRejected("evidence")`.
    """
    latest, digest = approval.issued + skew, request.digest()
    for index, counted in enumerate(approval.approvals):
        place = f"approvals[{index}]"
        vote = counted.vote()
        if not request.created <= vote.time <= latest:
            raise ApprovalRejected("evidence", "cast outside its time", place=f"{place}.time")
        if vote.statement is not None and vote.statement.iat > latest:
            raise ApprovalRejected("evidence", "stated later", place=f"{place}.statement.iat")
        try:
            if vote.statement is not None:
                verify_statement(
                    vote, request, request_id=approval.txn, request_digest=digest, place=place
                )
            if people is not None:
                verify_passkey(vote, people, place=place, past=past)
        except EvidenceError as error:
            raise ApprovalRejected("evidence", error.message, place=error.place) from error


def verify_statement(
    vote: Vote, request: RequestDocument, *, request_id: str, request_digest: str, place: str
) -> None:
    """The statement behind a vote says what the vote says, about this request, in its time.

    `request_digest` is the request's: it is computed once for all its votes.

    Raises `EvidenceError`.
    """
    statement = vote.statement
    if statement is None:
        raise EvidenceError("no statement stands behind this vote", place=place)
    for name, stated, wanted in (
        # A deny, presented as a yes; one person's yes, under another's name.
        ("decision", statement.decision, vote.decision),
        ("approver", statement.approver, vote.approver),
        # A yes to the same call on another occasion; to another call; to what looked different.
        ("request", statement.request, request_id),
        ("request_digest", statement.request_digest, request_digest),
        ("call_hash", statement.call_hash, request.call_hash),
        ("display_digest", statement.display_digest, request.display_digest),
    ):
        if stated != wanted:
            raise EvidenceError(
                "the statement is about something else", place=f"{place}.statement.{name}"
            )
    if not request.created <= statement.iat < request.expires:
        raise EvidenceError("not stated while it was asked", place=f"{place}.statement.iat")


def verify_passkey(vote: Vote, people: Directory, *, place: str, past: bool = False) -> None:
    """A vote was made with a passkey that the directory says is that person's.

    For what is `past`, one that was theirs when they voted, whatever became of it since. Raises
    `EvidenceError`.
    """
    # A click in a channel leaves nothing that can be checked without trusting the service.
    if vote.statement is None or vote.evidence is None:
        raise EvidenceError("no passkey stands behind this vote", place=place)
    who = vote.approver
    person = people.person_at(who, vote.time) if past else people.person(who)
    if person is None:
        message = "this person is not in the directory" + _outdated(vote, people)
        raise EvidenceError(message, place=f"{place}.approver")
    key = person.key(vote.evidence.credential_id)
    if key is None or key.aaguid != vote.evidence.aaguid:
        message = "not this person's passkey" + (" then" if past else "") + _outdated(vote, people)
        raise EvidenceError(message, place=f"{place}.evidence.credential_id")
    if vote.time < key.since:
        message = "cast before this passkey was enrolled"
        raise EvidenceError(message, place=f"{place}.evidence.credential_id")
    try:
        verified = verify_evidence(
            vote.statement,
            vote.evidence,
            public_key=key.public_key,
            rp_id=people.rp_id,
            origins=people.origins,
            enrolled_as=key.step_up,
            now=vote.time,
            backup_eligible=key.backup_eligible,
        )
    except EvidenceError as error:
        message = f"{error.message} ({error.code})"
        raise EvidenceError(message, code=error.code, place=f"{place}.evidence") from error
    if verified.step_up is not vote.step_up:
        raise EvidenceError("the passkey made another step-up", place=f"{place}.acr")


def _outdated(vote: Vote, people: Directory) -> str:
    older = people.issued < vote.time
    return ", which is older than this vote: pin a newer one" if older else ""


def verify_quorum(
    approval: Approval, request: RequestDocument, people: Directory | None, *, past: bool = False
) -> None:
    """Distinct persons, each entitled to it, fill all places of all requirements at once.

    With a directory, entitled are only those whom it puts in the groups that the rule names, and
    those whom it lets stand in for one of them: now, or for what is `past`, when it was asked.
    Raises `ApprovalRejected("quorum")`.
    """
    known = people.at(request.created) if past and people is not None else people
    requirements = [
        _narrowed(requirement, known, user=request.user) for requirement in request.requirements
    ]
    rules = {requirement.rule for requirement in requirements}
    persons: set[str] = set()
    for index, counted in enumerate(approval.approvals):
        place = f"approvals[{index}]"
        if counted.approver in persons:  # one person is one place, however many keys they have
            raise ApprovalRejected("quorum", "a person counted twice", place=f"{place}.approver")
        persons.add(counted.approver)
        if counted.approver == approval.user:  # self-approval, whatever the requirements list
            raise ApprovalRejected("quorum", "made for this very person", place=f"{place}.approver")
        if counted.requirement not in rules:
            raise ApprovalRejected("quorum", "no such requirement", place=f"{place}.requirement")
        vote = counted.vote()
        if not any(
            requirement.rule == counted.requirement and requirement.admits(vote)
            for requirement in requirements
        ):
            raise ApprovalRejected("quorum", "not entitled to this place", place=place)
    # `assign` also refuses a request without requirements: where nobody was asked, nobody approved.
    assigned = assign(requirements, [counted.vote() for counted in approval.approvals])
    claimed = Counter(counted.requirement for counted in approval.approvals)
    if assigned is None or claimed != Counter(rule for _, rule in assigned):
        raise ApprovalRejected("quorum", "not one vote for each place", place="approvals")


def _narrowed(requirement: Requirement, people: Directory | None, *, user: str) -> Requirement:
    """The requirement with only those eligible whom the directory knows as such."""
    if people is None:
        return requirement
    # Who is asked later, by escalation, is asked by the rule too.
    named = {*requirement.approvers, *(name for _, name in requirement.escalate)}
    members = frozenset[str]().union(*(people.members(name) for name in named))
    # That somebody is away is the service's word; who may ever take their place is not. The user's
    # own place is nobody's: they have none to leave.
    away = {absent for _, absent in requirement.stand_ins} & members - {user}
    may_stand_in = {absent: _stand_ins(people, absent) for absent in away}
    entitled = members | {
        stand_in
        for stand_in, absent in requirement.stand_ins
        if absent in away and stand_in in may_stand_in[absent]
    }
    return replace(
        requirement, eligible=tuple(person for person in requirement.eligible if person in entitled)
    )


def _stand_ins(people: Directory, absent: str) -> frozenset[str]:
    """All who may ever take this person's place."""
    person = people.person(absent)
    return frozenset() if person is None else frozenset(person.stand_ins)
