"""Policy: what a bundle says about a call, and the record from which it can be said again.

`evaluate` is pure and total: a bad call is a `Deny` with a code, never an exception.
"""

from __future__ import annotations

from approvals.policy.evaluation import evaluate, needs_usage, recount
from approvals.policy.replay import record, record_text, recorded_facts, replay
from approvals.policy.shortfall import Shortfall, shortfalls
from approvals.policy.verdict import USAGE_COUNTERS, Allow, Deny, DenyCode, Escalate, Facts, Verdict

__all__ = [
    "USAGE_COUNTERS",
    "Allow",
    "Deny",
    "DenyCode",
    "Escalate",
    "Facts",
    "Shortfall",
    "Verdict",
    "evaluate",
    "needs_usage",
    "record",
    "record_text",
    "recorded_facts",
    "recount",
    "replay",
    "shortfalls",
]
