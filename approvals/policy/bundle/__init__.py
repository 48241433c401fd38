"""Policy under version control: people, agents, tools, enforcers, rules, and their cases.

`Bundle.load` gives a checked bundle or raises; `check` tells everything that is wrong, by file and
line. Both are pure functions of the files' names and texts.
"""

from __future__ import annotations

from approvals.core.registry import (
    Absence,
    Agent,
    Asks,
    Case,
    Enforcer,
    Field,
    FieldKind,
    Hook,
    Person,
    Rule,
    Shift,
    Tool,
)
from approvals.policy.bundle.bundle import CASE_FOLDER, POLICY_FOLDER, Bundle, check, is_bundle_file
from approvals.policy.bundle.problems import BundleProblem

__all__ = [
    "CASE_FOLDER",
    "POLICY_FOLDER",
    "Absence",
    "Agent",
    "Asks",
    "Bundle",
    "BundleProblem",
    "Case",
    "Enforcer",
    "Field",
    "FieldKind",
    "Hook",
    "Person",
    "Rule",
    "Shift",
    "Tool",
    "check",
    "is_bundle_file",
]
