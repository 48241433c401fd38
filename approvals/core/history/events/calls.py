"""What happens to a call: to its verdict, to its request, and to its approval."""

from __future__ import annotations

from dataclasses import dataclass

from approvals.core.approval import REQUEST, VERDICT
from approvals.core.history.events.shape import (
    Event,
    Open,
    Sealed,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OfCall(Event):
    """A call that was submitted: what it was, where it came from, and what decided about it."""

    verdict: Open[str]
    enforcer: Sealed[str]
    agent: Sealed[str]
    user: Sealed[str]
    task: Sealed[str | None]
    target: Sealed[str]
    tool: Sealed[str]
    call_hash: Sealed[str]
    bundle: Sealed[str]
    rules: Sealed[tuple[str, ...]]
    record: Sealed[str]
    model: Sealed[str | None]
    prompt_hash: Sealed[str | None]
    context_refs: Sealed[tuple[str, ...]]
    idempotency: Sealed[tuple[str, ...] | None]
    answer: Sealed[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallAllowed(OfCall):
    """Policy allowed a call. `token` is the digest of the approval."""

    TYPE = "call.allowed"
    ABOUT = (VERDICT,)
    approval: Open[str]
    token: Open[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRefused(OfCall):
    """A call was denied before anybody was asked."""

    TYPE = "call.refused"
    ABOUT = (VERDICT,)
    code: Sealed[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestOpened(OfCall):
    """People are asked about a call."""

    TYPE = "request.opened"
    ABOUT = (REQUEST,)
    request_digest: Open[str]
    explanation: Sealed[str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRepeated(OfCall):
    """The same call was submitted again and found its request."""

    TYPE = "request.repeated"
    ABOUT = (REQUEST,)
    request_digest: Open[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class OfRequest(Event):
    """Something that happened to a request; it names the document that people decide about."""

    ABOUT = (REQUEST,)
    request_digest: Open[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Voted(OfRequest):
    """A vote was counted. `statement` and `evidence` are digests of what was signed, and how."""

    statement: Open[str | None]
    evidence: Open[str | None]
    approver: Sealed[str]
    reason: Sealed[str | None]
    step_up: Sealed[str]
    channel: Sealed[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteApprove(Voted):
    """Somebody approved."""

    TYPE = "vote.approve"


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteDeny(Voted):
    """Somebody denied."""

    TYPE = "vote.deny"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestApproved(OfRequest):
    """The quorum was met and an approval was issued. `token` is the digest of it."""

    TYPE = "request.approved"
    approval: Open[str]
    token: Open[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestDenied(OfRequest):
    """A vote against it ended the request."""

    TYPE = "request.denied"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestExpired(OfRequest):
    """Its time passed before enough people approved."""

    TYPE = "request.expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestCancelled(OfRequest):
    """The enforcer withdrew it."""

    TYPE = "request.cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRevoked(OfRequest):
    """What held when it was asked for holds no more."""

    TYPE = "request.revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestEscalated(OfRequest):
    """A rule's next people were asked, those that `name` stands for."""

    TYPE = "request.escalated"
    rule: Sealed[str]
    name: Sealed[str]
    people: Sealed[tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestReminded(OfRequest):
    """Those who had not answered were reminded."""

    TYPE = "request.reminded"
    people: Sealed[tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class OfApproval(Event):
    """Something that happened to an approval."""

    ABOUT = (REQUEST, VERDICT)
    approval: Open[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalConsumed(OfApproval):
    """It was spent. `receipt` is the digest of the receipt."""

    TYPE = "approval.consumed"
    receipt: Open[str]
    use_id: Sealed[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRefused(OfApproval):
    """Somebody tried to spend it and could not."""

    TYPE = "approval.refused"
    code: Sealed[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalLapsed(OfApproval):
    """Its time passed before it was spent."""

    TYPE = "approval.lapsed"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeReported(OfApproval):
    """The enforcer said what became of the call."""

    TYPE = "outcome.reported"
    status: Sealed[str]
    output_hash: Sealed[str | None]
