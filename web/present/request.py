"""A request's page in words."""

from dataclasses import dataclass

from approvals.core.decision.ceremony import Decision
from approvals.core.requests import State, WhyNot
from approvals.flow.deciding.look import OutcomeView, RequestView, RequirementView, VoteView
from approvals.web.present.payload import (
    FieldView,
    PayloadView,
    RawView,
    brief,
    fields,
    payload,
    shown,
    unchecked,
)

_NUMBERS = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten")
_STEP_UP = {
    "session": "A click in a linked channel is enough.",
    "passkey": "Each with a passkey.",
    "hardware-passkey": "Each with a hardware passkey, one that cannot be copied.",
}
_WHY_NOT = {
    WhyNot.OWN_REQUEST: "You cannot decide on a call made for you. Others are asked.",
    WhyNot.ALREADY_VOTED: "You have decided. The request waits for others.",
    WhyNot.NOT_ASKED: "You are not asked about this call.",
}
_HEADLINES = {
    State.PENDING: ("Waiting for others", ""),
    State.EXPIRED: ("Expired: nothing ran", ""),
    State.CANCELLED: ("Withdrawn: nothing ran", ""),
    State.REVOKED: ("Revoked: it may not run", "bad"),
}
NAMES = 12
CHANGES = 12


@dataclass(frozen=True, slots=True)
class Rule:
    """Why people are asked, whom, and how far it is."""

    rule: str
    reason: str
    asked: str
    step_up: str
    quorum: int
    filled: int


@dataclass(frozen=True, slots=True)
class Voted:
    """One person's decision."""

    name: str
    verb: str
    tone: str
    time: int
    reason: str | None


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened; `until` is a deadline that it brought."""

    text: str
    time: int
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One argument that is not what it was."""

    path: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Lately:
    """Something this agent asked for before."""

    title: str
    state: str
    time: int


@dataclass(frozen=True, slots=True)
class RequestPage:
    """All that the request's template lays out."""

    id: str
    headline: str
    tone: str
    pending: bool
    title: str
    tool: str
    flags: tuple[str, ...]
    agent: str
    agent_note: str
    user: str
    target_before: str
    target_host: str
    target_after: str
    risks: tuple[str, ...]
    needs: str
    created: int
    expires: int
    fingerprint: str
    call_hash: str
    repeats: str
    story: tuple[Step, ...]
    fields: tuple[FieldView, ...]
    unchecked: tuple[RawView, ...]
    payload: PayloadView
    folded: bool
    unlooked: bool
    rules: tuple[Rule, ...]
    votes: tuple[Voted, ...]
    compared: bool
    changes: tuple[Change, ...]
    changes_since: int
    changes_cut: str
    lately: tuple[Lately, ...]
    claim: str | None
    may_decide: bool
    why_not: str


def request_page(view: RequestView) -> RequestPage:
    """The view of a request as its page says it."""
    before, host, after = split_target(view.shown.target)
    folded = view.needs_whole and view.may_decide and not view.opened_whole
    headline, tone = _headline(view)
    changes = () if view.previous is None else view.previous.differences
    return RequestPage(
        id=view.id,
        headline=headline,
        tone=tone,
        pending=view.state is State.PENDING,
        title=view.shown.title,
        tool=view.shown.tool,
        flags=view.shown.flags,
        agent=view.agent,
        agent_note=f"{view.agent_purpose} · autonomy tier {view.agent_tier}",
        user=view.user_name,
        target_before=before,
        target_host=host,
        target_after=after,
        risks=view.risk or ("not classified",),
        needs=_needs(view.requirements),
        created=view.created,
        expires=view.expires,
        fingerprint=view.fingerprint,
        call_hash=view.call_hash,
        repeats="" if view.repeats == 0 else f"asked {view.repeats + 1} times",
        story=_story(view),
        fields=fields(view.shown, folded=folded),
        unchecked=unchecked(view.shown, folded=folded),
        payload=payload(view.shown, folded=folded),
        folded=folded,
        unlooked=view.may_decide and not view.looked,
        rules=tuple(_rule(requirement) for requirement in view.requirements),
        votes=tuple(_voted(vote) for vote in view.votes),
        compared=view.previous is not None,
        changes=tuple(
            Change(change.path, brief(change.before), brief(change.now))
            for change in changes[:CHANGES]
        ),
        changes_since=0 if view.previous is None else view.previous.decided,
        changes_cut="" if len(changes) <= CHANGES else shown(CHANGES, len(changes), "differences"),
        lately=tuple(Lately(card.title, card.state.value, card.created) for card in view.lately),
        claim=view.explanation,
        may_decide=view.may_decide,
        why_not="" if view.why_not is None else _WHY_NOT.get(view.why_not, ""),
    )


def split_target(target: str) -> tuple[str, str, str]:
    """What stands before the host, the host, what stands after.

    A user name in an address is put before the host, not into it: in `https://bank.example@evil.example`
    the host is `evil.example`.
    """
    scheme, mark, rest = target.partition("://")
    if not mark:
        return "", target, ""
    ends = [place for place in (rest.find("/"), rest.find("?")) if place >= 0]
    end = min(ends, default=len(rest))
    user, at, host = rest[:end].rpartition("@")
    return f"{scheme}://{user}{at}", host, rest[end:]


def _headline(view: RequestView) -> tuple[str, str]:
    match view.state:
        case State.PENDING if view.may_decide:
            return "Waiting for you", "warn"
        case State.APPROVED:
            return _approved(view.outcome, now=view.now)
        case State.DENIED:
            by = next((v.name for v in view.votes if v.decision is Decision.DENY), None)
            return ("Denied" if by is None else f"Denied by {by}"), "bad"
        case other:
            return _HEADLINES[other]


def _approved(outcome: OutcomeView | None, *, now: int) -> tuple[str, str]:
    if outcome is None:
        return "Approved", "good"
    if outcome.status == "error":
        return "Approved; the call failed", "warn"
    if outcome.status is not None:
        return "Approved, and it ran", "good"
    if outcome.consumed is not None:
        return "Approved, and let through", "good"
    if now >= outcome.expires:
        return "Approved, but never used", ""
    return "Approved", "good"


def _story(view: RequestView) -> tuple[Step, ...]:
    last = max((vote.time for vote in view.votes), default=view.created)
    match view.state:
        case State.PENDING:
            return ()
        case State.DENIED:
            return _denied(view, last)
        case State.EXPIRED:
            return (Step("Too few people decided in time. The call does not run.", view.expires),)
        case State.CANCELLED:
            return (Step("The request was taken back. The call does not run.", last),)
        case State.REVOKED:
            return (Step("The approval was taken back. It can no longer be used.", last),)
        case State.APPROVED:
            return _use(view.outcome, last, now=view.now)


def _denied(view: RequestView, denied: int) -> tuple[Step, ...]:
    told = Step("The call does not run. The agent's side was told, and why.", denied)
    if view.asked_again_at is None or view.asked_again_at <= view.now:
        return (told,)
    return (
        told,
        Step("Nobody is asked about the same call again until", denied, view.asked_again_at),
    )


def _use(outcome: OutcomeView | None, approved: int, *, now: int) -> tuple[Step, ...]:
    if outcome is None:
        return (Step("Everyone needed has approved.", approved),)
    steps = [Step("The agent may run this call once, until", approved, outcome.expires)]
    if outcome.consumed is not None:
        steps.append(Step("The approval was used: the call was let through.", outcome.consumed))
    elif now >= outcome.expires:
        steps.append(Step("Nobody used the approval in time: nothing ran.", outcome.expires))
    if outcome.reported is not None:
        ran = "The call ran." if outcome.status == "ok" else "The call ran into an error."
        steps.append(Step(ran, outcome.reported))
    return tuple(steps)


def _needs(requirements: tuple[RequirementView, ...]) -> str:
    wanted = sum(requirement.quorum for requirement in requirements)
    number = _NUMBERS[wanted] if wanted < len(_NUMBERS) else f"{wanted:,}"
    who = "person must" if wanted == 1 else "different people must"
    hardware = any(requirement.step_up == "hardware-passkey" for requirement in requirements)
    return f"{number} {who} approve" + (", with a hardware passkey" if hardware else "")


def _rule(requirement: RequirementView) -> Rule:
    return Rule(
        rule=requirement.rule,
        reason=requirement.reason,
        asked=_names(requirement.people),
        step_up=_STEP_UP.get(requirement.step_up, requirement.step_up),
        quorum=requirement.quorum,
        filled=requirement.filled,
    )


def _names(people: tuple[str, ...]) -> str:
    if len(people) <= NAMES:
        return ", ".join(people)
    return f"{', '.join(people[:NAMES])} and {len(people) - NAMES:,} more"


def _voted(vote: VoteView) -> Voted:
    approved = vote.decision is Decision.APPROVE
    return Voted(
        name=vote.name,
        verb="approved" if approved else "denied",
        tone="good" if approved else "bad",
        time=vote.time,
        reason=vote.reason,
    )
