"""What a rule asks of people, read from its annotations.

    @approvers("finance | cfo")     groups or persons of whom any may fill a place
    @quorum("2")                    places to fill
    @step_up("passkey")             how the decision is made
    @ttl("15m")                     how long the request may wait
    @escalate("10m: managers")      which of the approvers are asked only later
    @exclude("owner")               the agent's owner may not approve

A rule that too few people could ever satisfy is refused here, not when a call waits for them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from approvals.core.approval import fits
from approvals.core.decision.ceremony import StepUp
from approvals.core.decision.requirement import Requirement
from approvals.core.registry import Asks

if TYPE_CHECKING:
    from cedarpy import pst

    from approvals.policy.bundle.cedar_text import PolicyText
    from approvals.policy.bundle.people import People
    from approvals.policy.bundle.problems import Problems

DEFAULT_TTL = 900
MAX_TTL = 7 * 86_400
MAX_QUORUM = 20
ASKING = frozenset({"approvers", "escalate", "exclude", "quorum", "step_up", "ttl"})
_DURATION = re.compile(r"([1-9][0-9]{0,5})([smhd])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@dataclass(frozen=True, slots=True)
class WrittenRule:
    """One rule being read: its text, its parsed form, and where to note what is wrong with it."""

    file: str
    text: PolicyText
    parsed: pst.Template
    problems: Problems

    def wrong(self, code: str, message: str, *, annotation: str | None = None) -> None:
        """Note a problem, on the line of an annotation or of the rule itself."""
        line = self.text.annotation_line(annotation) if annotation else self.text.line
        self.problems.add(self.file, line, code, message)

    def annotation(self, name: str) -> str | None:
        """The annotation's value, if the rule has it."""
        return self.parsed.annotations.get(name)


def read_asks(policy: WrittenRule, people: People) -> Asks | None:
    """What the rule asks; None without `@approvers`. What is wrong is noted and stood in for."""
    written = policy.annotation("approvers")
    if written is None:
        return None
    if not (policy.annotation("reason") or "").strip():
        policy.wrong("missing_reason", "a rule that asks people needs a @reason to show them")
    approvers = _names(written)
    members = _members(policy, "approvers", approvers, people)
    quorum = policy.annotation("quorum") or "1"
    places = int(quorum) if re.fullmatch(r"[1-9][0-9]?", quorum, re.ASCII) else 0
    if not 1 <= places <= min(MAX_QUORUM, len(members)):
        policy.wrong(
            "quorum",
            f"@quorum is {quorum!r}, and {len(members)} distinct people can approve",
            annotation="quorum" if policy.annotation("quorum") else "approvers",
        )
    _check_size(policy, approvers, members, people, places)
    step_up = policy.annotation("step_up") or StepUp.PASSKEY.value
    if step_up not in set(StepUp):
        known = ", ".join(each.value for each in StepUp)
        policy.wrong("step_up", f"@step_up is {step_up!r}; known: {known}", annotation="step_up")
        step_up = StepUp.PASSKEY.value
    ttl = _seconds(policy, "ttl", policy.annotation("ttl")) or DEFAULT_TTL
    exclude = policy.annotation("exclude")
    if exclude not in (None, "owner"):
        policy.wrong("exclude", f"@exclude knows only owner, not {exclude!r}", annotation="exclude")
    return Asks(
        approvers=approvers,
        quorum=max(1, places),
        step_up=StepUp(step_up),
        ttl=ttl,
        escalate=_escalations(policy, people, members, ttl),
        exclude_owner=exclude == "owner",
    )


def _check_size(
    policy: WrittenRule,
    approvers: tuple[str, ...],
    members: frozenset[str],
    people: People,
    places: int,
) -> None:
    """Note a rule whose approval no verifier would take: it lists everybody who may approve."""
    stand_ins = sorted((it, each) for each in members for it in people.persons[each].stand_ins)
    largest = Requirement(
        rule=policy.annotation("id") or "",
        reason=policy.annotation("reason") or "",
        approvers=approvers,
        eligible=tuple(sorted(members | {stand_in for stand_in, _ in stand_ins})),
        quorum=places,
        step_up=StepUp.HARDWARE,
        stand_ins=tuple(stand_ins),
    )
    if not fits((largest,)):
        policy.wrong(
            "too_many_eligible",
            f"{len(largest.eligible)} people can fill {places} places: more than an approval can "
            "hold; name a smaller group",
            annotation="approvers",
        )


def _escalations(
    policy: WrittenRule, people: People, members: frozenset[str], ttl: int
) -> tuple[tuple[int, str], ...]:
    steps: list[tuple[int, str]] = []
    for step in (policy.annotation("escalate") or "").split(";"):
        if not step.strip():
            continue
        after, colon, names = step.partition(":")
        if not colon or not names.strip():
            policy.wrong(
                "escalate",
                f"@escalate is like '10m: managers', not {step!r}",
                annotation="escalate",
            )
            continue
        seconds = _seconds(policy, "escalate", after.strip())
        if seconds is not None and seconds >= ttl:
            policy.wrong(
                "escalate", f"after {after.strip()} the request has expired", annotation="escalate"
            )
        for name in _names(names):
            asked = _members(policy, "escalate", (name,), people)
            if not asked <= members:
                # Asking somebody whose answer cannot count would look like help on its way.
                policy.wrong(
                    "escalate", f"{name!r} is not among the @approvers", annotation="escalate"
                )
            steps.append((seconds or 0, name))
    return tuple(sorted(steps))


def _names(text: str) -> tuple[str, ...]:
    return tuple(sorted({name.strip() for name in text.split("|")}))


def _members(
    policy: WrittenRule, annotation: str, names: tuple[str, ...], people: People
) -> frozenset[str]:
    found: frozenset[str] = frozenset()
    for name in names:
        members = people.members(name)
        if members is None:
            policy.wrong(
                "unknown_group", f"{name!r} is neither a group nor a person", annotation=annotation
            )
        found |= members or frozenset()
    return found


def _seconds(policy: WrittenRule, annotation: str, text: str | None) -> int | None:
    if text is None:
        return None
    match = _DURATION.fullmatch(text)
    seconds = int(match[1]) * _SECONDS[match[2]] if match else 0
    if not 1 <= seconds <= MAX_TTL:
        policy.wrong(
            "ttl", f"{text!r} is not a time like 90s, 15m or 2h, up to 7d", annotation=annotation
        )
        return None
    return seconds
