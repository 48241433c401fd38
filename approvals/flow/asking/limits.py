"""Limits on what one agent may ask of people, and on how many of its denied calls are kept.

There is a cap on open requests, and a cool-down after a person denied a call. Each quota belongs to
an agent together with its enforcer. Only the enforcer is authenticated, so what it says of agents
must not use up quotas of other enforcers.

What holds:
1. A call that finds its open request is never refused here; it is counted on that request.
2. A call is refused before a request is opened and before anybody is notified.
3. The cool-down knows only the identical call. An agent that changes a field evades it, and meets
   the caps, which count every call.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from approvals.core.decision.ceremony import Decision
from approvals.core.requests import State

if TYPE_CHECKING:
    from approvals.config import Settings
    from approvals.core.calls import ToolCall
    from approvals.core.requests import Request
    from approvals.flow.acting.caller import Caller
    from approvals.store import Tx

TOO_MANY_DENIED = "too_many_denied"
TOO_MANY_OPEN = "too_many_open"
COOLING_DOWN = "cooling_down"


@dataclass(frozen=True, slots=True)
class Refusal:
    """People are not asked: why, as a code and a sentence, and the time when asking may help.

    `request` is the caller's own request in which a person denied the call, if that is why.
    """

    code: str
    reason: str
    retry_at: int
    request: str | None = None


@dataclass(frozen=True, slots=True)
class Denials:
    """How many calls of one agent through one enforcer were denied in the last hour.

    `retry_after` is in how many seconds one more may be denied in the ordinary way.
    """

    count: int
    limit: int
    retry_after: int

    @property
    def full(self) -> bool:
        """Whether a further denial is not kept."""
        return self.count >= self.limit

    @property
    def reason(self) -> str:
        """The sentence for the caller."""
        return f"{self.limit} calls of this agent were denied within an hour, as many as may be"


def denials(tx: Tx, settings: Settings, caller: Caller, agent: str) -> Denials:
    """The quota of denied calls; `agent` is empty for all that are not registered."""
    counts = tx.counters.denied(
        tenant=caller.tenant, enforcer=caller.enforcer, agent=agent, now=tx.now
    )
    left = count = sum(each for _, each in counts)
    retry_at = tx.now
    for until, each in counts:
        if left < settings.denied_per_hour:
            break
        left, retry_at = left - each, until
    return Denials(count, settings.denied_per_hour, max(0, retry_at - tx.now))


def refusal(
    tx: Tx,
    settings: Settings,
    caller: Caller,
    *,
    agent: str,
    person: str,
    call: ToolCall,
    call_hash: str,
) -> Refusal | None:
    """Why this agent may not ask people about one more call now, or None if it may.

    The transaction holds the agent (`tx.attention.hold`), so the counts stay true until it ends.
    """
    denied = tx.attention.last_denied(
        tenant=caller.tenant,
        agent=agent,
        person=person,
        call_hash=call_hash,
        since=tx.now - settings.cooldown,
    )
    if denied is not None:
        return Refusal(
            COOLING_DOWN,
            "a person denied this very call; it may be asked again later",
            denied.time + settings.cooldown,
            # What a person wrote to one enforcer is not for another that asks the same.
            denied.request if denied.enforcer == caller.enforcer else None,
        )
    in_all, of_tool = tx.attention.open_of(
        tenant=caller.tenant,
        enforcer=caller.enforcer,
        agent=agent,
        target=call.target,
        tool=call.tool,
        now=tx.now,
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
