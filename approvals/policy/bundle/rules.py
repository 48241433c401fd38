"""policies/*.cedar: rules, and what they ask of people.

A rule that asks is a `forbid` that falls away once it is approved. Policy evaluates with `approved`
false and, if that denies, true; so the verdict is only right if approval can do nothing but make a
rule that asks fall away. That is checked here on the parsed form, not on the text: the expression
`context.approved` stands alone in an `unless` of a forbid that has `@approvers`, and nowhere else,
and `context` is never used whole, where `approved` could hide in it. That nothing which a caller
says beside the call can switch a rule is checked by `monotone`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any

import cedarpy
from cedarpy import pst

from approvals.core import names, unseen
from approvals.core.history.leaves import MAX_LEAF
from approvals.core.registry import Rule
from approvals.policy.bundle import monotone
from approvals.policy.bundle.asks import ASKING, WrittenRule, read_asks
from approvals.policy.bundle.cedar_text import PolicyText, split

if TYPE_CHECKING:
    from collections.abc import Mapping

    from approvals.policy.bundle.people import People
    from approvals.policy.bundle.problems import Problems

MAX_RULE_IDS = MAX_LEAF // 2
RESERVED_IDS = frozenset({"limits", "opaque"})
"""Ids of rules that policy makes itself."""

_KNOWN = ASKING | {"id", "reason"}
_APPROVED = pst.GetAttr(pst.Var("context"), "approved")
_FOR_POLICY = re.compile(r"^for policy `[^`]*`, ")


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules by id in the order in which they are written, and whether any looks at usage.

    `text` is all of them as one Cedar text: what is validated is what is evaluated. Cedar numbers
    its policies, so its `policy7` is the seventh of `names`, from zero.
    """

    rules: dict[str, Rule]
    text: str
    uses_usage: bool

    @property
    def names(self) -> tuple[str, ...]:
        """The rules' ids by position."""
        return tuple(self.rules)


def position(policy_id: str) -> int:
    """The position that Cedar's name for a policy means."""
    return int(policy_id.removeprefix("policy"))


def read_rules(files: Mapping[str, str], people: People, problems: Problems) -> Rules:
    """All rules of all policy files, in the order of file names."""
    found: dict[str, Rule] = {}
    texts: list[str] = []
    uses_usage = False
    for file, text in sorted(files.items()):
        for written in split(text):
            parsed = _parse(file, written, problems)
            if parsed is None:
                continue
            policy = WrittenRule(file, written, parsed, problems)
            uses_usage |= _check_context(policy)
            name = _id(policy, found)
            if name is None:
                continue
            found[name] = Rule(
                id=name,
                effect=parsed.effect,
                file=file,
                line=written.line,
                reason=policy.annotation("reason"),
                asks=read_asks(policy, people),
            )
            texts.append(written.text)
    if sum(len(name) + len('"",') for name in found) > MAX_RULE_IDS:
        # A verdict names the rules that gave it, in one leaf of the log.
        last = found[max(found, key=lambda name: (found[name].file, found[name].line))]
        message = f"the ids of all rules have more than {MAX_RULE_IDS} characters"
        problems.add(last.file, last.line, "too_many_rules", message)
    return Rules(found, "\n".join(texts), uses_usage=uses_usage)


def validate(rules: Rules, schema: cedarpy.Schema, problems: Problems) -> None:
    """Note every rule that Cedar's strict validator cannot show to be safe and meaningful."""
    for error in cedarpy.validate_policies(rules.text, schema).errors:
        rule = rules.rules[rules.names[position(error.policy_id)]]
        message = _FOR_POLICY.sub("", error.error)
        problems.add(
            rule.file, rule.line, "cedar_validation", f"the rule {rule.id!r} could fail: {message}"
        )


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


def _id(policy: WrittenRule, known: Mapping[str, Rule]) -> str | None:
    name = policy.annotation("id")
    if name is None:
        policy.wrong(
            "missing_id", "every rule needs an @id: verdicts name the rules that gave them"
        )
    elif not names.is_id(name) or name in RESERVED_IDS:
        policy.wrong("bad_id", f"{name!r} cannot be a rule's id", annotation="id")
    elif name in known:
        first = f"{known[name].file}:{known[name].line}"
        policy.wrong("duplicate", f"{name!r} is already a rule in {first}", annotation="id")
    else:
        return name
    return None


def _check_context(policy: WrittenRule) -> bool:
    """Check how `context` is used; True if the rule looks at usage counters."""
    clauses = [c for c in policy.parsed.clauses if not _is_unless_approved(c)]
    falls_away = len(clauses) < len(policy.parsed.clauses)
    for name in sorted(policy.parsed.annotations.keys() - _KNOWN):
        known = ", ".join(sorted(_KNOWN))
        policy.wrong(
            "unknown_member", f"unknown annotation @{name}; known: {known}", annotation=name
        )
    for name, value in sorted(policy.parsed.annotations.items()):
        hidden = unseen.find(value)
        if hidden is not None:
            policy.wrong(
                "invisible",
                f"@{name} holds the invisible character {unseen.code(hidden)}",
                annotation=name,
            )
    asking = sorted(policy.parsed.annotations.keys() & ASKING)
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
    for fault in monotone.faults(policy.parsed.effect, clauses):
        policy.wrong("caller_switch", fault)
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
