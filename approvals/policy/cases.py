"""Running a bundle's own cases: is the verdict what its authors expect?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from approvals.core.calls import ToolCall
from approvals.policy import Allow, Deny, Escalate, Facts, Verdict, evaluate

if TYPE_CHECKING:
    from approvals.policy.bundle import Bundle, Case


@dataclass(frozen=True, slots=True)
class CaseResult:
    """One case and what became of it; `differences` is empty where all is as expected."""

    case: Case
    verdict: Verdict
    differences: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether the verdict is the expected one."""
        return not self.differences


def run_tests(bundle: Bundle) -> list[CaseResult]:
    """Every case of the bundle, in the order in which they are written."""
    return [_run(bundle, case) for case in bundle.cases]


def unreached_rules(bundle: Bundle) -> tuple[str, ...]:
    """The rules that gave no case its verdict, sorted: nothing shows what they do."""
    reached = {rule for result in run_tests(bundle) for rule in result.verdict.rules}
    return tuple(sorted(bundle.rules.keys() - reached))


def _run(bundle: Bundle, case: Case) -> CaseResult:
    facts = Facts(
        call=ToolCall(target=case.target, tool=case.tool, args=dict(case.args)),
        agent=case.agent,
        user=case.user,
        now=case.now,
        task=case.task,
        usage=case.usage,
    )
    verdict = evaluate(bundle, facts)
    return CaseResult(case=case, verdict=verdict, differences=tuple(_differences(case, verdict)))


def _differences(case: Case, verdict: Verdict) -> list[str]:
    found = []
    outcome = _OUTCOMES[type(verdict)]
    if outcome != case.outcome:
        found.append(f"the outcome is {outcome}, not {case.outcome}{_because(verdict)}")
    if case.rules is not None and verdict.rules != case.rules:
        found.append(f"the rules are {_list(verdict.rules)}, not {_list(case.rules)}")
    if case.code is not None and isinstance(verdict, Deny) and verdict.code != case.code:
        found.append(f"the code is {verdict.code}, not {case.code}")
    if case.eligible is not None and isinstance(verdict, Escalate):
        asked = {requirement.rule: requirement.eligible for requirement in verdict.requirements}
        for rule, expected in sorted(case.eligible.items()):
            if asked.get(rule, ()) != expected:
                found.append(
                    f"{rule} may be approved by {_list(asked.get(rule, ()))}, not {_list(expected)}"
                )
    return found


_OUTCOMES: dict[type[Verdict], str] = {Allow: "allow", Deny: "deny", Escalate: "escalate"}


def _because(verdict: Verdict) -> str:
    return f": {'; '.join(verdict.reasons)}" if isinstance(verdict, Deny) else ""


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "none"
