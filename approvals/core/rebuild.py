"""What became of every request and every approval, rebuilt from leaves and nothing else.

What holds: a request is opened once, voted on only while it is pending, and ends once; an approval
comes of an allowed call or of an approved request, and is spent or lapses once. A leaf that could
not have happened after the leaves before it is refused, so what is rebuilt is always a state that
the service can be in.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeAlias

from approvals.core.errors import ProofError
from approvals.core.events import EventType, parse_leaf
from approvals.core.requests import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Use(StrEnum):
    """What became of an approval: it waits, it was spent, or its time passed before it was."""

    LIVE = "live"
    SPENT = "spent"
    LAPSED = "lapsed"


Became: TypeAlias = State | Use

# What an event does: the leaf's member that names a request or an approval, the states that this
# may be in before (None: it was never heard of), and the one that it is in after.
_STEPS: Final[Mapping[EventType, tuple[tuple[str, frozenset[Became | None], Became], ...]]] = {
    EventType.CALL_ALLOWED: (("approval", frozenset({None}), Use.LIVE),),
    EventType.REQUEST_OPENED: (("request", frozenset({None}), State.PENDING),),
    EventType.VOTE_APPROVE: (("request", frozenset({State.PENDING}), State.PENDING),),
    EventType.VOTE_DENY: (("request", frozenset({State.PENDING}), State.PENDING),),
    EventType.REQUEST_APPROVED: (
        ("request", frozenset({State.PENDING}), State.APPROVED),
        ("approval", frozenset({None}), Use.LIVE),
    ),
    EventType.REQUEST_DENIED: (("request", frozenset({State.PENDING}), State.DENIED),),
    EventType.REQUEST_EXPIRED: (("request", frozenset({State.PENDING}), State.EXPIRED),),
    EventType.REQUEST_CANCELLED: (("request", frozenset({State.PENDING}), State.CANCELLED),),
    EventType.REQUEST_REVOKED: (
        ("request", frozenset({State.PENDING, State.APPROVED}), State.REVOKED),
    ),
    EventType.APPROVAL_CONSUMED: (("approval", frozenset({Use.LIVE}), Use.SPENT),),
    EventType.APPROVAL_LAPSED: (("approval", frozenset({Use.LIVE}), Use.LAPSED),),
    EventType.OUTCOME_REPORTED: (("approval", frozenset({Use.SPENT}), Use.SPENT),),
}


def rebuild(leaves: Iterable[bytes]) -> dict[str, Became]:
    """The state of each request and approval, by its id, after all these leaves in this order.

    Raises:
        ProofError: `event`: one of them is not the leaf of an event; `impossible`: it tells
            what cannot have happened after those before it. The place is its number, from 0.
    """
    became: dict[str, Became] = {}
    for number, leaf in enumerate(leaves):
        event = parse_leaf(leaf)
        for member, before, after in _STEPS.get(event.type, ()):
            name = event.public.get(member)
            if not isinstance(name, str) or became.get(name) not in before:
                raise ProofError(
                    f"{event.type.value} cannot follow what the log told before of {name}",
                    code="impossible",
                    place=f"leaf {number}",
                )
            became[name] = after
    return became
