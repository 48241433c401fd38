"""How much one agent may ask of people: so many open requests, and no denied call right again.

What holds: a call that finds its open request is never refused here, it is counted on it. What is
refused is refused before anything is opened or anybody told, so a flood costs people nothing. An
agent that changes a field a little comes around the cool-down, which knows only the same call; the
caps count whatever it asks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from approvals.core.ceremony import Decision
from approvals.core.requests import State

if TYPE_CHECKING:
    from approvals.config import Settings
    from approvals.core.calls import ToolCall
    from approvals.core.requests import Request
    from approvals.store import Tx

TOO_MANY_OPEN = "too_many_open"
COOLING_DOWN = "cooling_down"


@dataclass(frozen=True, slots=True)
class Refusal:
    """People are not asked: why, as a code and a sentence, and the time when asking may help."""

    code: str
    reason: str
    retry_at: int


def refusal(
    tx: Tx,
    settings: Settings,
    *,
    tenant: str,
    agent: str,
    person: str,
    call: ToolCall,
    call_hash: str,
) -> Refusal | None:
    """Why this agent may not ask people about one more call now, or None if it may.

    The transaction holds the agent (`tx.attention.hold`), so the counts stay true until it ends.
    """
    denied = tx.attention.denied_at(
        tenant=tenant,
        agent=agent,
        person=person,
        call_hash=call_hash,
        since=tx.now - settings.cooldown,
    )
    if denied is not None:
        return Refusal(
            COOLING_DOWN,
            "a person denied this very call; it may be asked again later",
            denied + settings.cooldown,
        )
    in_all, of_tool = tx.attention.open_of(
        tenant=tenant, agent=agent, target=call.target, tool=call.tool, now=tx.now
    )
    if of_tool.count >= settings.open_per_tool:
        return Refusal(
            TOO_MANY_OPEN,
            f"{of_tool.count} calls of this tool by this agent wait for people, as many as may",
            of_tool.until,
        )
    if in_all.count >= settings.open_per_agent:
        return Refusal(
            TOO_MANY_OPEN,
            f"{in_all.count} calls by this agent wait for people, as many as may",
            in_all.until,
        )
    return None


def asked_again_at(settings: Settings, request: Request) -> int | None:
    """When a denied call may be asked about again, or None if nobody denied it."""
    if request.state is not State.DENIED:
        return None
    denials = [vote.time for vote in request.votes if vote.decision is Decision.DENY]
    return max(denials) + settings.cooldown if denials else None
