"""Small rules, and what policy says under them."""

from __future__ import annotations

from approvals.policy import Allow, Deny, DenyCode, Escalate, Facts, evaluate
from tests import small_bundle as small

SMALL = small.load()


def asks(name: str, who: str, when: str = "", more: str = "") -> str:
    return (
        f'@id("{name}") @reason("because {name}") @approvers("{who}") {more}\n'
        f"forbid (principal, action, resource) {when} unless {{ context.approved }};\n"
    )


def forbid(name: str, when: str) -> str:
    return f'@id("{name}") forbid (principal, action, resource) when {{ {when} }};\n'


def verdict_on(rules: str, facts: Facts | None = None, **files: str) -> Allow | Deny | Escalate:
    return evaluate(small.load(rules=rules, **files), facts or small.facts())


def requirements(verdict: Allow | Deny | Escalate) -> dict[str, tuple[str, ...]]:
    assert isinstance(verdict, Escalate), verdict
    return {requirement.rule: requirement.eligible for requirement in verdict.requirements}


def denial(verdict: Allow | Deny | Escalate) -> DenyCode:
    assert isinstance(verdict, Deny), verdict
    return verdict.code
