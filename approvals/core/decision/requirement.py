"""A requirement: the places that people fill before a call may run, and who may fill them.

Each is made of one rule and kept in the request's document, so that whoever decides signs it and
whoever verifies reads it: also who fills a place for somebody else who is away.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from approvals.core import documents
from approvals.core.decision.ceremony import Decision, StepUp

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from approvals.core.canonical import Json
    from approvals.core.decision.vote import Vote

_REQUIREMENT: Mapping[str, tuple[type, ...]] = {
    "rule": (str,),
    "reason": (str,),
    "approvers": (list,),
    "eligible": (list,),
    "quorum": (int,),
    "step_up": (str,),
    "escalate": (list,),
    "stand_ins": (list,),
}


@dataclass(frozen=True, slots=True)
class Requirement:
    """Places to be filled by people before a call may run.

    `approvers` are the groups and persons that the rule names; `eligible`, sorted, are the persons
    who may fill a place after all exclusions; `escalate` says who else is told after so many
    seconds. `stand_ins`, sorted, says which of the eligible are so for whom: pairs of the one who
    stands in and the one who is away, who is then not eligible.
    """

    rule: str
    reason: str
    approvers: tuple[str, ...]
    eligible: tuple[str, ...]
    quorum: int
    step_up: StepUp
    escalate: tuple[tuple[int, str], ...] = ()
    stand_ins: tuple[tuple[str, str], ...] = ()
    _eligible: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Somebody else's file may name many and hold many votes: each is looked up.
        object.__setattr__(self, "_eligible", frozenset(self.eligible))

    def asks(self, person: str) -> bool:
        """Whether this person is eligible."""
        return person in self._eligible

    def admits(self, vote: Vote) -> bool:
        """Whether this vote may fill a place here."""
        return (
            vote.decision is Decision.APPROVE
            and self.asks(vote.approver)
            and vote.step_up.covers(self.step_up)
        )

    def among(self, members: Collection[str]) -> frozenset[str]:
        """Those eligible who are among these people or stand in for one of them."""
        standing = (stand_in for stand_in, absent in self.stand_ins if absent in members)
        return self._eligible & {*members, *standing}

    def document(self) -> dict[str, Json]:
        """The JSON form."""
        return {
            "rule": self.rule,
            "reason": self.reason,
            "approvers": list(self.approvers),
            "eligible": list(self.eligible),
            "quorum": self.quorum,
            "step_up": self.step_up.value,
            "escalate": [[after, name] for after, name in self.escalate],
            "stand_ins": [[stand_in, absent] for stand_in, absent in self.stand_ins],
        }

    @classmethod
    def from_document(cls, document: object, place: str = "requirement") -> Requirement:
        """Read a requirement strictly; one that asks for nobody is refused."""
        it = documents.read(document, _REQUIREMENT, place)
        eligible = documents.strings(it["eligible"], f"{place}.eligible")
        if list(eligible) != sorted(set(eligible)):
            documents.refuse(f"{place}.eligible", "not sorted, or a person twice")
        stand_ins = tuple(
            _stand_in(item, f"{place}.stand_ins[{index}]")
            for index, item in enumerate(it["stand_ins"])
        )
        if list(stand_ins) != sorted(set(stand_ins)):
            documents.refuse(f"{place}.stand_ins", "not sorted, or a pair twice")
        asked = frozenset(eligible)  # somebody else's file may name many
        if any(who not in asked or absent in asked for who, absent in stand_ins):
            documents.refuse(f"{place}.stand_ins", "not somebody eligible for somebody who is not")
        if it["quorum"] < 1:
            # Nobody asked is nobody who approved: such a place would always be filled.
            documents.refuse(f"{place}.quorum", "asks for nobody")
        if it["step_up"] not in _STEP_UPS:
            documents.refuse(f"{place}.step_up", "not a step-up")
        return cls(
            rule=it["rule"],
            reason=it["reason"],
            approvers=documents.strings(it["approvers"], f"{place}.approvers"),
            eligible=eligible,
            quorum=it["quorum"],
            step_up=StepUp(it["step_up"]),
            escalate=tuple(
                _escalation(item, f"{place}.escalate[{index}]")
                for index, item in enumerate(it["escalate"])
            ),
            stand_ins=stand_ins,
        )


_STEP_UPS = frozenset(StepUp)


def _escalation(item: object, place: str) -> tuple[int, str]:
    match item:
        case [int(after), str(name)] if type(after) is int and after >= 0:
            escalation = (after, name)
        case _:
            documents.refuse(place, "not [seconds, name]")
    return escalation


def _stand_in(item: object, place: str) -> tuple[str, str]:
    match item:
        case [str(stand_in), str(absent)]:
            pair = (stand_in, absent)
        case _:
            documents.refuse(place, "not [stand-in, person who is away]")
    return pair
