"""What leaves the service in a notice: facts of a request, as far as its tool's owner lets them.

What holds: facts come from the stored call by the display pinned with it, drawn with visible marks;
only fields that the owner marked as a summary are in; the agent's prose is in no brief.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from approvals.core import display
from approvals.core.decision.ceremony import Decision, StepUp
from approvals.core.requests import State, progress
from approvals.flow.acting.sight import needs_whole
from approvals.flow.status import effective_state

if TYPE_CHECKING:
    from approvals.core.display.shown import ShownField
    from approvals.core.requests import Request
    from approvals.flow.service import Service
    from approvals.policy.bundle import Bundle
    from approvals.store import Tx
    from approvals.store.requests import StoredRequest


@dataclass(frozen=True, slots=True)
class Brief:
    """A request in short. Every text is safe to show as plain text.

    `fields` are (label, value); `hidden` counts what is on the page only; `progress` are (reason,
    filled, quorum); `decided` are (name, decision). `ended` says what it came to, or is None while
    it waits. `may_click` is true where a click in a signed-in channel is step-up enough, and the
    notice shows all that there is to see: nothing is hidden and nothing is flagged.
    """

    request_id: str
    state: State
    title: str
    agent: str
    agent_owner: str
    user: str
    target: str
    tool: str
    risk: tuple[str, ...]
    reasons: tuple[str, ...]
    fields: tuple[tuple[str, str], ...]
    hidden: int
    fingerprint: str
    created: int
    expires: int
    progress: tuple[tuple[str, int, int], ...]
    decided: tuple[tuple[str, Decision], ...]
    ended: str | None
    repeats: int
    url: str
    may_click: bool


_ENDED = {
    State.APPROVED: "Approved",
    State.DENIED: "Denied",
    State.EXPIRED: "Expired: nobody decided in time",
    State.CANCELLED: "Withdrawn by the caller",
    State.REVOKED: "Revoked",
}


def brief(service: Service, tx: Tx, stored: StoredRequest) -> Brief:
    """The brief of a request that was read in this transaction."""
    document = stored.request.document
    bundle = service.bundle(tx, document.tenant, document.bundle)
    shown = stored.shown
    tool = bundle.tool(stored.call.target, stored.call.tool)
    summary = {field.path for field in tool.display if field.summary} if tool else set()
    fields = [field for field in shown.fields if field.path in summary]
    hidden = len(shown.fields) - len(fields) + len(shown.unchecked)
    state = effective_state(stored.request, now=tx.now)
    return Brief(
        request_id=stored.id,
        state=state,
        title=shown.title,
        agent=display.visible(document.agent),
        agent_owner=name_of(bundle, bundle.agents[document.agent].owner),
        user=name_of(bundle, document.user),
        target=shown.target,
        tool=shown.tool,
        risk=() if tool is None else tool.groups,
        reasons=tuple(each.reason for each in document.requirements),
        fields=tuple((field.label, _value(field)) for field in fields),
        hidden=hidden,
        fingerprint=display.fingerprint(document.call_hash),
        created=document.created,
        expires=document.expires,
        progress=tuple(
            (requirement.reason, filled, needed)
            for requirement, filled, needed in progress(stored.request)
        ),
        decided=tuple(
            (name_of(bundle, vote.approver), vote.decision) for vote in stored.request.votes
        ),
        ended=None if state is State.PENDING else _ended(bundle, stored.request, state),
        repeats=stored.repeats,
        url=service.url(f"/r/{stored.id}"),
        may_click=not needs_whole(stored)
        and not hidden
        and not shown.flags
        and not any(field.flags for field in fields)
        and all(each.step_up is StepUp.SESSION for each in document.requirements),
    )


def name_of(bundle: Bundle, person: str) -> str:
    """A person's name, or their id where the bundle has none."""
    known = bundle.people.get(person)
    return display.name(person if known is None else known.name)


def _value(field: ShownField) -> str:
    return field.value if isinstance(field.value, str) else ", ".join(field.value)


def _ended(bundle: Bundle, request: Request, state: State) -> str:
    names = [
        name_of(bundle, vote.approver)
        for vote in request.votes
        if (vote.decision is Decision.DENY) is (state is State.DENIED)
    ]
    if state in {State.APPROVED, State.DENIED} and names:
        return f"{_ENDED[state]} by {', '.join(names)}"
    return _ENDED[state]
