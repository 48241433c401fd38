"""What policy is asked and what it answers.

`Facts` are what a rule may look at beside the bundle; a `Verdict` is one of three values and never
an exception: nothing permitted means `Deny`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from approvals.core.calls import ToolCall
    from approvals.core.canonical import Json
    from approvals.core.decision.requirement import Requirement

USAGE_COUNTERS = ("agent_day", "agent_hour", "tool_day", "tool_hour")


class DenyCode(StrEnum):
    """Why a call is denied; the values are stable and told to the caller."""

    NO_AGENT = "no_agent"
    NO_TOOL = "no_tool"
    NO_USER = "no_user"
    USER_NOT_SERVED = "user_not_served"
    ARGS_SCHEMA = "args_schema"
    ARGS_UNTYPED = "args_untyped"
    EVALUATION_ERROR = "evaluation_error"
    FORBIDDEN = "forbidden"
    NOT_PERMITTED = "not_permitted"
    NOBODY_ELIGIBLE = "nobody_eligible"
    TOO_MANY_ELIGIBLE = "too_many_eligible"


@dataclass(frozen=True, slots=True)
class Facts:
    """A call and the circumstances that rules may look at.

    `now` is Unix seconds. `usage` holds, for each of `USAGE_COUNTERS`, how many calls this agent
    submitted before this one (`agent_…`) and how many of them to this tool (`tool_…`).
    `excluded` are persons who may approve nothing here: whoever activated the bundle alone.
    """

    call: ToolCall
    agent: str
    user: str
    now: int
    task: str | None
    usage: Mapping[str, int]
    excluded: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Allow:
    """The call may run without asking anybody; `rules` permitted it."""

    rules: tuple[str, ...]

    def document(self) -> dict[str, Json]:
        """The JSON form kept in a verdict's record."""
        return {"outcome": "allow", "rules": list(self.rules)}


@dataclass(frozen=True, slots=True)
class Deny:
    """The call may not run: the rules that forbade it, if any, sentences for people, and why."""

    rules: tuple[str, ...]
    reasons: tuple[str, ...]
    code: DenyCode

    def document(self) -> dict[str, Json]:
        """The JSON form kept in a verdict's record."""
        return {
            "outcome": "deny",
            "code": self.code.value,
            "rules": list(self.rules),
            "reasons": list(self.reasons),
        }


@dataclass(frozen=True, slots=True)
class Escalate:
    """The call may run once every requirement is met, within `ttl` seconds."""

    requirements: tuple[Requirement, ...]
    ttl: int
    rules: tuple[str, ...]

    def document(self) -> dict[str, Json]:
        """The JSON form kept in a verdict's record."""
        return {
            "outcome": "escalate",
            "rules": list(self.rules),
            "ttl": self.ttl,
            "requirements": [requirement.document() for requirement in self.requirements],
        }


Verdict: TypeAlias = Allow | Deny | Escalate
