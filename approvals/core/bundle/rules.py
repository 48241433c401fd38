"""policies/*.cedar: rules, and what they ask of people.

A rule that asks is a `forbid` that falls away once it is approved. Policy evaluates with `approved`
false and, if that denies, true; so the verdict is only right if approval can do nothing but make a
rule that asks fall away. That is checked here on the parsed form, not on the text: `context.approved`
stands alone in an `unless` of a forbid that has `@approvers`, and nowhere else, and `context` is
never used whole, where `approved` could hide in it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any

import cedarpy
from cedarpy import pst

from approvals.core.bundle.cedar_text import PolicyText, split
from approvals.core.bundle.cursor import ID_PATTERN
from approvals.core.registry import Asks, Rule
from approvals.core.requests import StepUp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from approvals.core.bundle.people import People
    from approvals.core.bundle.problems import Problems
    from approvals.core.canonical import Json

DEFAULT_TTL = 900
MAX_TTL = 7 * 86_400
MAX_QUORUM = 20
RESERVED_IDS = frozenset({"limits", "opaque"})
"""Ids of rules that policy makes itself."""

_ASKING = frozenset({"approvers", "escalate", "exclude", "quorum", "step_up", "ttl"})
_KNOWN = _ASKING | {"id", "reason"}
_DURATION = re.compile(r"([1-9][0-9]{0,5})([smhd])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_APPROVED = pst.GetAttr(pst.Var("context"), "approved")
_FOR_POLICY = re.compile(r"^for policy `[^`]*`, ")


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules by id, their parsed form for the engine, and whether any looks at usage."""

    rules: dict[str, Rule]
    policies: dict[str, Json]
    texts: dict[str, str]
    uses_usage: bool


@dataclass(frozen=True, slots=True)
class _Policy:
    """One policy being read."""

    file: str
    text: PolicyText
    parsed: pst.Template
    problems: Problems

    def wrong(self, code: str, message: str, *, annotation: str | None = None) -> None:
        line = self.text.annotation_line(annotation) if annotation else self.text.line
        self.problems.add(self.file, line, code, message)

    def annotation(self, name: str) -> str | None:
        return self.parsed.annotations.get(name)


def read_rules(files: Mapping[str, str], people: People, problems: Problems) -> Rules:
    """All rules of all policy files, in the order of file names."""
    found = Rules({}, {}, {}, uses_usage=False)
    uses_usage = False
    for file, text in sorted(files.items()):
        for written in split(text):
            parsed = _parse(file, written, problems)
            if parsed is None:
                continue
            policy = _Policy(file, written, parsed, problems)
            uses_usage |= _check_context(policy)
            name = _id(policy, found.rules)
            if name is None:
                continue
            found.rules[name] = Rule(
                id=name,
                effect=parsed.effect,
                file=file,
                line=written.line,
                reason=policy.annotation("reason"),
                asks=_asks(policy, people),
            )
            document = json.loads(cedarpy.policies_to_json_str(written.text))
            found.policies[name] = document["staticPolicies"]["policy0"]
            found.texts[name] = written.text
    return Rules(found.rules, found.policies, found.texts, uses_usage=uses_usage)


def validate(rules: Rules, schema: cedarpy.Schema, problems: Problems) -> None:
    """Note every rule that Cedar's strict validator cannot show to be safe and meaningful."""
    names = list(rules.rules)
    result = cedarpy.validate_policies("\n".join(rules.texts[name] for name in names), schema)
    for error in result.errors:
        rule = rules.rules[names[int(error.policy_id.removeprefix("policy"))]]
        message = _FOR_POLICY.sub("", error.error)
        problems.add(
            rule.file, rule.line, "cedar_validation", f"the rule {rule.id!r} could fail: {message}"
        )


def policy_set(rules: Rules) -> cedarpy.PolicySet:
    """The rules prepared for evaluation; diagnostics then name a rule by its `@id`."""
    document = {"staticPolicies": rules.policies, "templates": {}, "templateLinks": []}
    return cedarpy.PolicySet.from_json_str(json.dumps(document))


def _parse(file: str, written: PolicyText, problems: Problems) -> pst.Template | None:
    try:
        parsed = cedarpy.policies_to_pst(written.text)
    except ValueError as error:
        line = written.fault_line(str(error))
        problems.add(file, line, "cedar_syntax", f"not Cedar: {error}")
        return None
    if parsed.templates:
        problems.add(file, written.line, "cedar_template", "a rule cannot be a template")
        return None
    (only,) = parsed.static_policies.values()
    return only


def _id(policy: _Policy, known: Mapping[str, Rule]) -> str | None:
    name = policy.annotation("id")
    if name is None:
        policy.wrong(
            "missing_id", "every rule needs an @id: verdicts name the rules that gave them"
        )
    elif not ID_PATTERN.fullmatch(name) or name in RESERVED_IDS:
        policy.wrong("bad_id", f"{name!r} cannot be a rule's id", annotation="id")
    elif name in known:
        first = f"{known[name].file}:{known[name].line}"
        policy.wrong("duplicate", f"{name!r} is already a rule in {first}", annotation="id")
    else:
        return name
    return None


def _check_context(policy: _Policy) -> bool:
    """Check how `context` is used; True if the rule looks at usage counters."""
    clauses = [c for c in policy.parsed.clauses if not _is_unless_approved(c)]
    falls_away = len(clauses) < len(policy.parsed.clauses)
    for name in sorted(policy.parsed.annotations.keys() - _KNOWN):
        known = ", ".join(sorted(_KNOWN))
        policy.wrong(
            "unknown_member", f"unknown annotation @{name}; known: {known}", annotation=name
        )
    asking = sorted(policy.parsed.annotations.keys() & _ASKING)
    if policy.parsed.effect == "permit" and (asking or falls_away):
        policy.wrong(
            "approval_pairing", "a permit cannot ask for approval: write a forbid that does"
        )
    elif asking and not falls_away:
        policy.wrong(
            "approval_pairing",
            f"@{asking[0]} asks for approval, but `unless {{ context.approved }}` is missing",
        )
    elif falls_away and "approvers" not in asking:
        policy.wrong("approval_pairing", "`unless { context.approved }` needs @approvers")
    members, whole = _context_uses(clauses)
    if "approved" in members:
        policy.wrong(
            "approved_elsewhere",
            "context.approved may stand only alone, as `unless { context.approved }`",
        )
    if whole:
        policy.wrong("whole_context", "context may be used only with a member named")
    return "usage" in members


def _is_unless_approved(clause: pst.Clause) -> bool:
    return isinstance(clause, pst.Unless) and clause.expr == _APPROVED


def _context_uses(clauses: list[pst.Clause]) -> tuple[set[str], bool]:
    """Which members of the context the clauses name, and whether they use it whole."""
    members: set[str] = set()
    whole = False
    todo: list[Any] = list(clauses)
    while todo:
        match todo.pop():
            case pst.GetAttr(pst.Var("context"), attr):
                members.add(attr)
            case pst.HasAttr(pst.Var("context"), attrs):
                members.add(attrs[0])
            case pst.Var("context"):
                whole = True
            case dict() as mapping:
                todo.extend(mapping.values())
            case tuple() as several:
                todo.extend(several)
            case node if is_dataclass(node):
                todo.extend(getattr(node, each.name) for each in fields(node))
            case _:
                pass
    return members, whole


def _asks(policy: _Policy, people: People) -> Asks | None:
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


def _escalations(
    policy: _Policy, people: People, members: frozenset[str], ttl: int
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
    policy: _Policy, annotation: str, names: tuple[str, ...], people: People
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


def _seconds(policy: _Policy, annotation: str, text: str | None) -> int | None:
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
