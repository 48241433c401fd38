"""Whether the log tells of a call what its evidence file tells, no more and no less.

Each event has been proved to be in the log. Here every fact of the file must be in an event, every
event must be a fact of the file, and what both say must be equal. Personal values are compared
where the log still opens them; where they were erased there is nothing to compare.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from approvals.core import canonical
from approvals.core.approval import Basis
from approvals.core.calls import call_hash
from approvals.core.decision.ceremony import Decision
from approvals.core.errors import EvidenceError
from approvals.core.history.events import (
    ERASED,
    ApprovalConsumed,
    ApprovalLapsed,
    ApprovalRefused,
    CallAllowed,
    CallRefused,
    Event,
    OfApproval,
    OfCall,
    OfRequest,
    OutcomeReported,
    RequestApproved,
    RequestCancelled,
    RequestDenied,
    RequestEscalated,
    RequestExpired,
    RequestOpened,
    RequestReminded,
    RequestRepeated,
    RequestRevoked,
    VoteApprove,
    Voted,
    VoteDeny,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from approvals.core.approval import Approval
    from approvals.core.calls import ToolCall
    from approvals.core.decision.vote import Vote
    from approvals.core.evidence_file.document import EvidenceFile
    from approvals.core.receipt import Receipt


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldEvent:
    """An event of the log with as much of it as was opened; `place` is where the file has it."""

    place: str
    event: Event

    def must_say(self, **wanted: object) -> None:
        """Each of these members of the event has this value, or was erased."""
        for name, value in wanted.items():
            said = getattr(self.event, name)
            if said is not ERASED and said != value:
                raise EvidenceError("the log tells it differently", place=f"{self.place}.{name}")

    def unopened(self, **places: str) -> list[str]:
        """Of the members of the file that only these commitments cover, those that nothing shows.

        `places` gives for the name of a commitment where the file has its value.
        """
        return [place for name, place in places.items() if getattr(self.event, name) is ERASED]

    def must_be_at(self, time: int) -> None:
        """The event happened at this time."""
        if self.event.time != time:
            raise EvidenceError("the log has another time for it", place=f"{self.place}.time")


@dataclass(frozen=True, slots=True)
class Story:
    """What happened, in short, and the places in the file whose values the log does not show."""

    told: str
    unshown: tuple[str, ...]


def verify_story(
    file: EvidenceFile,
    told: Sequence[ToldEvent],
    *,
    call: ToolCall,
    approval: Approval | None,
    receipt: Receipt | None,
) -> Story:
    """Hold every event against the file and the file against the events.

    Raises `EvidenceError`, placed at the event or at what the log does not tell.
    """
    _must_be_complete(file, Counter(type(one.event) for one in told), approval)
    _must_be_one_tenants(file, told, approval)
    votes = iter(enumerate(file.votes))
    hashed = call_hash(call)
    unshown: list[str] = []
    asked = None if file.request is None else file.request.digest()
    for one in told:
        event = one.event
        if event.subject != file.subject:
            raise EvidenceError("an event of something else", place=one.place)
        if isinstance(event, OfCall):
            one.must_say(target=call.target, tool=call.tool, call_hash=hashed)
        match event:
            case CallRefused():
                unshown += one.unopened(call_hash="call")
            case RequestOpened() | RequestRepeated():
                _asked(one, file)
            case Voted():
                index, vote = next(votes)
                unshown += _voted(one, vote, index)
            case OutcomeReported():
                unshown += one.unopened(status="outcome.status", output_hash="outcome.output_hash")
            case _:
                pass
        if asked is not None and isinstance(event, RequestOpened | RequestRepeated | OfRequest):
            one.must_say(request_digest=asked)
        if approval is not None:
            _approved(one, file, approval, receipt)
    return Story(", ".join(one.event.TYPE for one in told), tuple(unshown))


def _must_be_one_tenants(
    file: EvidenceFile, told: Sequence[ToldEvent], approval: Approval | None
) -> None:
    tenants = {one.event.tenant for one in told}
    if approval is not None:
        tenants.add(approval.tenant)
    if file.request is not None:
        tenants.add(file.request.tenant)
    if len(tenants) != 1:
        raise EvidenceError("of several tenants, or none", place="events")


_OF_AN_APPROVAL = (CallAllowed, RequestApproved, OfApproval)
_ANY_NUMBER = (RequestRepeated, RequestEscalated, RequestReminded, ApprovalRefused)
_AT_MOST_ONCE = (RequestExpired, RequestCancelled, RequestRevoked, ApprovalLapsed)


def _must_be_complete(
    file: EvidenceFile, kinds: Counter[type[Event]], approval: Approval | None
) -> None:
    """Every fact has its event, as many times as it happened, and there is no event besides."""
    asked = file.request is not None
    denials = sum(vote.decision is Decision.DENY for vote in file.votes)
    expected: dict[type[Event], int] = {
        CallAllowed: int(approval is not None and approval.basis is Basis.POLICY),
        CallRefused: int(approval is None and not asked),
        RequestOpened: int(asked),
        VoteApprove: len(file.votes) - denials,
        VoteDeny: denials,
        RequestApproved: int(approval is not None and asked),
        RequestDenied: int(denials > 0),
        ApprovalConsumed: int(file.receipt is not None),
        OutcomeReported: int(file.outcome is not None),
    }
    for kind in {*expected, *kinds}:
        count = kinds[kind]
        if kind in _ANY_NUMBER or (kind in _AT_MOST_ONCE and count <= 1):
            continue
        if count != expected.get(kind, 0):
            raise EvidenceError(
                f"{kind.TYPE}: {count} in the log, {expected.get(kind, 0)} in the file",
                place="events",
            )
    # What comes of an approval cannot come of nothing.
    if approval is None and (
        file.receipt or file.outcome or any(issubclass(kind, _OF_AN_APPROVAL) for kind in kinds)
    ):
        raise EvidenceError("used without an approval", place="approval")
    if file.outcome is not None and file.receipt is None:
        raise EvidenceError("an outcome of an approval that was not spent", place="outcome")


def _asked(one: ToldEvent, file: EvidenceFile) -> None:
    request = file.request
    if request is None:
        raise EvidenceError("a request that the file does not have", place=one.place)
    one.must_say(
        enforcer=request.audience,
        agent=request.agent,
        user=request.user,
        task=request.task,
        request_digest=request.digest(),
    )
    if isinstance(one.event, RequestOpened):
        one.must_say(bundle=request.bundle)
        one.must_be_at(request.created)


def _approved(
    one: ToldEvent, file: EvidenceFile, approval: Approval, receipt: Receipt | None
) -> None:
    """What the log says of an approval that was issued, and of what came of it."""
    if isinstance(one.event, _OF_AN_APPROVAL):
        one.must_say(approval=approval.jti)
    match one.event:
        case CallAllowed():
            one.must_be_at(approval.issued)
            one.must_say(
                enforcer=approval.audience,
                agent=approval.agent,
                user=approval.user,
                bundle=approval.bundle,
                rules=approval.rules,
                token=canonical.digest(file.approval),
            )
        case RequestApproved():
            one.must_be_at(approval.issued)
            one.must_say(token=canonical.digest(file.approval))
        case ApprovalConsumed() if receipt is not None:
            one.must_be_at(receipt.consumed)
            one.must_say(use_id=receipt.use_id, receipt=canonical.digest(file.receipt))
        case OutcomeReported() if file.outcome is not None:
            one.must_be_at(file.outcome.reported)
            one.must_say(status=file.outcome.status, output_hash=file.outcome.output_hash)
        case _:
            pass


def _voted(one: ToldEvent, vote: Vote, index: int) -> list[str]:
    wanted = VoteDeny if vote.decision is Decision.DENY else VoteApprove
    if type(one.event) is not wanted:
        raise EvidenceError("the log has another decision", place=f"votes[{index}].decision")
    one.must_say(
        step_up=vote.step_up.value,
        channel=vote.channel,
        statement=None if vote.statement is None else canonical.digest(vote.statement.document()),
        evidence=None if vote.evidence is None else canonical.digest(vote.evidence.document()),
        approver=vote.approver,
        reason=vote.reason,
    )
    one.must_be_at(vote.time)
    place = f"votes[{index}]"
    unshown = one.unopened(reason=f"{place}.reason", channel=f"{place}.channel")
    if vote.statement is None:  # a passkey signs whose decision it is, a click does not
        unshown += one.unopened(approver=f"{place}.approver", step_up=f"{place}.step_up")
    return unshown
