"""What became of every request and every approval, rebuilt from leaves and nothing else.

What holds: a request is opened once, voted on only while it is pending, and ends once; an approval
comes of an allowed call or of an approved request, and is spent or lapses once. A leaf that could
not have happened after the leaves before it is refused, so what is rebuilt is always a state that
the service can be in. The events of a subject are told in the order of their numbers, each naming
the one before it: none is missing, and none was put in later.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeAlias

from approvals.core.approval import APPROVAL
from approvals.core.errors import ProofError
from approvals.core.history.events import (
    ApprovalConsumed,
    ApprovalLapsed,
    CallAllowed,
    Event,
    OutcomeReported,
    RequestApproved,
    RequestCancelled,
    RequestDenied,
    RequestExpired,
    RequestOpened,
    RequestRevoked,
    VoteApprove,
    VoteDeny,
)
from approvals.core.history.leaves import Chain, LeafEvent, parse_leaf
from approvals.core.requests import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Use(StrEnum):
    """What became of an approval: it waits, it was spent, or its time passed before it was."""

    LIVE = "live"
    SPENT = "spent"
    LAPSED = "lapsed"


Became: TypeAlias = State | Use

# What an event does: its member that names a request or an approval, the states that this may be in
# before (None: it was never heard of), and the one that it is in after.
_STEPS: Final[Mapping[type[Event], tuple[tuple[str, frozenset[Became | None], Became], ...]]] = {
    CallAllowed: (("approval", frozenset({None}), Use.LIVE),),
    RequestOpened: (("subject", frozenset({None}), State.PENDING),),
    VoteApprove: (("subject", frozenset({State.PENDING}), State.PENDING),),
    VoteDeny: (("subject", frozenset({State.PENDING}), State.PENDING),),
    RequestApproved: (
        ("subject", frozenset({State.PENDING}), State.APPROVED),
        ("approval", frozenset({None}), Use.LIVE),
    ),
    RequestDenied: (("subject", frozenset({State.PENDING}), State.DENIED),),
    RequestExpired: (("subject", frozenset({State.PENDING}), State.EXPIRED),),
    RequestCancelled: (("subject", frozenset({State.PENDING}), State.CANCELLED),),
    RequestRevoked: (("subject", frozenset({State.PENDING, State.APPROVED}), State.REVOKED),),
    ApprovalConsumed: (("approval", frozenset({Use.LIVE}), Use.SPENT),),
    ApprovalLapsed: (("approval", frozenset({Use.LIVE}), Use.LAPSED),),
    OutcomeReported: (("approval", frozenset({Use.SPENT}), Use.SPENT),),
}


def _of(subject: str) -> tuple[str, str]:
    """What an event of a subject may be about: the subject, and the approval that comes of it."""
    return subject, APPROVAL + subject[len(APPROVAL) :]


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What leaves tell: the state of each request and approval by its id, and how far events go.

    `chains` has the number of events and the last leaf hash by tenant and subject, as in
    `default/req_…`.
    """

    became: dict[str, Became]
    chains: dict[str, tuple[int, bytes | None]]


def rebuild(leaves: Iterable[bytes]) -> Rebuilt:
    """What became of everything, after all these leaves in this order.

    Raises:
        ProofError: `event`: one of them is not the leaf of an event; `chain`: it does not follow
            the event of its subject that comes before it; `impossible`: it tells what cannot have
            happened after those before it. The place is its number, from 0.
    """
    became: dict[str, Became] = {}
    chains: dict[str, Chain] = {}
    for number, leaf in enumerate(leaves):
        told = parse_leaf(leaf)
        chain = chains.setdefault(f"{told.event.tenant}/{told.event.subject}", Chain())
        _step(became, chain, told, leaf, place=f"leaf {number}")
    return Rebuilt(became, {key: (chain.count, chain.head) for key, chain in chains.items()})


@dataclass(frozen=True, slots=True)
class Followed:
    """The events of one subject, what became of what they name, and the last one's leaf hash."""

    told: tuple[LeafEvent, ...]
    became: dict[str, Became]
    head: bytes | None


def follow(leaves: Iterable[bytes]) -> Followed:
    """What became of one subject, after its leaves in this order; raises as `rebuild` does."""
    became: dict[str, Became] = {}
    chain = Chain()
    read = []
    for number, leaf in enumerate(leaves):
        told = parse_leaf(leaf)
        _step(became, chain, told, leaf, place=f"{told.event.subject}, event {number}")
        read.append(told)
    return Followed(tuple(read), became, chain.head)


def _step(
    became: dict[str, Became], chain: Chain, told: LeafEvent, leaf: bytes, *, place: str
) -> None:
    """Take in one event, which must be able to happen after those before it."""
    event = told.event
    if told.link != chain.next():
        raise ProofError(
            f"{event.TYPE} is number {told.link.seq} of {event.subject}, "
            f"and does not follow the {chain.count} events before it",
            code="chain",
            place=place,
        )
    chain.add(leaf)
    for member, before, after in _STEPS.get(type(event), ()):
        name = getattr(event, member)
        if name not in _of(event.subject) or became.get(name) not in before:
            raise ProofError(
                f"{event.TYPE} cannot follow what the log told before of {name}",
                code="impossible",
                place=place,
            )
        became[name] = after
