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
from approvals.core.history.events import EventType

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from approvals.core.approval import Approval
    from approvals.core.calls import ToolCall
    from approvals.core.canonical import Json
    from approvals.core.decision.vote import Vote
    from approvals.core.evidence_file.document import EvidenceFile
    from approvals.core.history.events import LeafEvent
    from approvals.core.receipt import Receipt


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldEvent:
    """An event of the log with as much of it as was opened; `place` is where the file has it."""

    place: str
    event: LeafEvent
    opened: Mapping[str, Json]

    def must_say(self, **wanted: Json) -> None:
        """Each of these stands in the event, in the open or opened, or was erased from it."""
        for name, value in wanted.items():
            if name in self.event.sealed:
                if name in self.opened and self.opened[name] != value:
                    raise EvidenceError(
                        "the log tells it differently", place=f"{self.place}.{name}"
                    )
            elif name not in self.event.public or self.event.public[name] != value:
                raise EvidenceError("the log tells it differently", place=f"{self.place}.{name}")

    def unopened(self, **places: str) -> list[str]:
        """Of the members of the file that only these commitments cover, those that nothing shows.

        `places` gives for the name of a commitment where the file has its value.
        """
        return [place for name, place in places.items() if name not in self.opened]

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
    _must_be_complete(file, Counter(one.event.type for one in told), approval)
    _must_be_one_tenants(file, told, approval)
    votes = iter(enumerate(file.votes))
    hashed = call_hash(call)
    unshown: list[str] = []
    asked = None if file.request is None else file.request.digest()
    for one in told:
        public = one.event.public
        if one.event.subject != file.subject:
            raise EvidenceError("an event of something else", place=one.place)
        match one.event.type:
            case EventType.CALL_ALLOWED:
                one.must_say(target=call.target, tool=call.tool, call_hash=hashed)
            case EventType.CALL_REFUSED:
                one.must_say(target=call.target, tool=call.tool, call_hash=hashed)
                unshown += one.unopened(call_hash="call")
            case EventType.REQUEST_OPENED | EventType.REQUEST_REPEATED:
                one.must_say(target=call.target, tool=call.tool, call_hash=hashed)
                _asked(one, file)
            case EventType.VOTE_APPROVE | EventType.VOTE_DENY:
                index, vote = next(votes)
                unshown += _voted(one, vote, index)
            case EventType.OUTCOME_REPORTED:
                unshown += one.unopened(status="outcome.status", output_hash="outcome.output_hash")
            case _:
                pass
        if asked is not None and "request_digest" in public:
            one.must_say(request_digest=asked)
        if approval is not None:
            _approved(one, file, approval, receipt)
    return Story(", ".join(one.event.type.value for one in told), tuple(unshown))


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


_OF_AN_APPROVAL = frozenset(
    {
        EventType.CALL_ALLOWED,
        EventType.REQUEST_APPROVED,
        EventType.APPROVAL_CONSUMED,
        EventType.APPROVAL_REFUSED,
        EventType.APPROVAL_LAPSED,
        EventType.OUTCOME_REPORTED,
    }
)
_ANY_NUMBER = frozenset(
    {
        EventType.REQUEST_REPEATED,
        EventType.REQUEST_ESCALATED,
        EventType.REQUEST_REMINDED,
        EventType.APPROVAL_REFUSED,
    }
)
_AT_MOST_ONCE = frozenset(
    {
        EventType.REQUEST_EXPIRED,
        EventType.REQUEST_CANCELLED,
        EventType.REQUEST_REVOKED,
        EventType.APPROVAL_LAPSED,
    }
)


def _must_be_complete(
    file: EvidenceFile, kinds: Counter[EventType], approval: Approval | None
) -> None:
    """Every fact has its event, as many times as it happened, and there is no event besides."""
    asked = file.request is not None
    denials = sum(vote.decision is Decision.DENY for vote in file.votes)
    expected = {
        EventType.CALL_ALLOWED: int(approval is not None and approval.basis is Basis.POLICY),
        EventType.CALL_REFUSED: int(approval is None and not asked),
        EventType.REQUEST_OPENED: int(asked),
        EventType.VOTE_APPROVE: len(file.votes) - denials,
        EventType.VOTE_DENY: denials,
        EventType.REQUEST_APPROVED: int(approval is not None and asked),
        EventType.REQUEST_DENIED: int(denials > 0),
        EventType.APPROVAL_CONSUMED: int(file.receipt is not None),
        EventType.OUTCOME_REPORTED: int(file.outcome is not None),
    }
    for kind in {*expected, *kinds}:
        count = kinds[kind]
        if kind in _ANY_NUMBER or (kind in _AT_MOST_ONCE and count <= 1):
            continue
        if count != expected.get(kind, 0):
            raise EvidenceError(
                f"{kind.value}: {count} in the log, {expected.get(kind, 0)} in the file",
                place="events",
            )
    # What comes of an approval cannot come of nothing.
    if approval is None and (
        file.receipt or file.outcome or any(kinds[it] for it in _OF_AN_APPROVAL)
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
    if one.event.type is EventType.REQUEST_OPENED:
        one.must_say(bundle=request.bundle)
        one.must_be_at(request.created)


def _approved(
    one: ToldEvent, file: EvidenceFile, approval: Approval, receipt: Receipt | None
) -> None:
    """What the log says of an approval that was issued, and of what came of it."""
    if one.event.type in _OF_AN_APPROVAL:
        one.must_say(approval=approval.jti)
    match one.event.type:
        case EventType.CALL_ALLOWED:
            one.must_be_at(approval.issued)
            one.must_say(
                enforcer=approval.audience,
                agent=approval.agent,
                user=approval.user,
                bundle=approval.bundle,
                rules=list(approval.rules),
                token=canonical.digest(file.approval),
            )
        case EventType.REQUEST_APPROVED:
            one.must_be_at(approval.issued)
            one.must_say(token=canonical.digest(file.approval))
        case EventType.APPROVAL_CONSUMED if receipt is not None:
            one.must_be_at(receipt.consumed)
            one.must_say(use_id=receipt.use_id, receipt=canonical.digest(file.receipt))
        case EventType.OUTCOME_REPORTED if file.outcome is not None:
            one.must_be_at(file.outcome.reported)
            one.must_say(status=file.outcome.status, output_hash=file.outcome.output_hash)
        case _:
            pass


def _voted(one: ToldEvent, vote: Vote, index: int) -> list[str]:
    wanted = EventType.VOTE_DENY if vote.decision is Decision.DENY else EventType.VOTE_APPROVE
    if one.event.type is not wanted:
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
