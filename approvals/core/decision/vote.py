"""A vote: what one person answered to a request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from approvals.core.decision.ceremony import Decision, Evidence, Statement, StepUp


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """One person's answer, already checked: whoever makes one has verified its evidence."""

    approver: str
    decision: Decision
    step_up: StepUp
    time: int
    statement: Statement | None = None
    evidence: Evidence | None = None
    reason: str | None = None
    channel: str = "web"
