"""What policy says about a call, worked out before the transaction that acts on it.

An agent chooses how long its call is, and so how much work the schema, the rules and the display
are. That work must not be done while the one writer of SQLite, or a lock on PostgreSQL, keeps
others waiting. So:

1. `weigh` is pure and runs outside. It is given what the answer depends on beside the call: the
   bundle with who activated it, the time, and the agent's counters (`Sight`).
2. The transaction that acts asks `confirm` whether that still holds: the same activation is
   current, the time is at most `FRESH` seconds away, and the verdict is the same with the counters
   as they are now. The agent is locked then, so the counters stay as they are until it ends.
3. If it does not hold, nothing is written, and it is weighed again outside with what is so now.
   After `submit.TRIES` it is weighed within the transaction: an agent whose rules look at counters
   and that calls many times at once must come to an end. What that costs is bounded by
   `max_values` and `max_bytes`, and on PostgreSQL only this agent's calls wait.

Where no rule looks at the counters but agents have `limits`, the verdict is weighed without them,
and the limit is held to in the transaction, which costs a comparison.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from approvals import policy
from approvals.core import canonical, display
from approvals.core.calls import call_hash
from approvals.core.requests import open_key
from approvals.policy.verdict import USAGE_COUNTERS, Deny, DenyCode, Escalate, Facts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from approvals.core.registry import Tool
    from approvals.flow.acting.caller import Caller, Submission
    from approvals.flow.service import CurrentBundle, Service
    from approvals.policy.verdict import Verdict
    from approvals.store import Tx

FRESH: Final = 2
"""Seconds by which the time of a verdict may differ from that of the transaction acting on it."""
KEPT_CALL: Final = 4_096
"""Characters of a refused call that are kept. A longer one is kept by its hash."""

_NOTHING_USED: Final = dict.fromkeys(USAGE_COUNTERS, 0)
_NO_CALL_OF_THE_AGENT: Final = frozenset(
    {
        DenyCode.NO_AGENT,
        DenyCode.NO_TOOL,
        DenyCode.NO_USER,
        DenyCode.USER_NOT_SERVED,
        DenyCode.ARGS_SCHEMA,
        DenyCode.ARGS_UNTYPED,
    }
)


@dataclass(frozen=True, slots=True)
class Written:
    """The texts that are made of a submission alone: the call, its hash, and what it asks."""

    call: str
    call_hash: str
    open_key: str


@dataclass(frozen=True, slots=True)
class Sight:
    """What a verdict depends on beside the call."""

    current: CurrentBundle
    now: int
    usage: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Drawn:
    """What people are shown of a call: its canonical text, the digest they sign, and in short."""

    text: str
    digest: str
    gist: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Weighed:
    """A verdict with the facts it was made of, and what people are shown where it asks them."""

    current: CurrentBundle
    facts: Facts
    verdict: Verdict
    written: Written
    drawn: Drawn | None

    def tool(self) -> Tool | None:
        """The called tool, if there is one."""
        return self.current.bundle.tool(self.facts.call.target, self.facts.call.tool)

    def counts(self) -> bool:
        """Whether the call counts as one of the agent's.

        One that names no tool, or does not fit it, could not have run: an enforcer that sends many
        must not use up what the agent may do elsewhere.
        """
        return not isinstance(self.verdict, Deny) or is_call_of_the_agent(self.verdict.code)

    def registered(self) -> str:
        """The agent, or nothing where there is no such agent: made-up names share one counter."""
        return self.facts.agent if self.facts.agent in self.current.bundle.agents else ""

    def record(self, *, refused: bool) -> str:
        """The canonical text of the verdict's record; of a long call that was refused, its hash."""
        written = self.written
        kept = None if refused and len(written.call) > KEPT_CALL else written.call
        return policy.record_text(
            self.current.bundle, self.facts, self.verdict, call=kept, hashed=written.call_hash
        )


def is_call_of_the_agent(code: str) -> bool:
    """Whether a call that was denied with this code counts as one that the agent made."""
    return code not in _NO_CALL_OF_THE_AGENT


def write(caller: Caller, submission: Submission) -> Written:
    """The texts of a submission. The `open_key` is what makes two of them the same question."""
    hashed = call_hash(submission.call)
    question = open_key(
        tenant=caller.tenant,
        audience=caller.enforcer,
        agent=submission.agent,
        user=submission.user,
        task=submission.task,
        precondition=submission.precondition,
        call_hash=hashed,
    )
    return Written(submission.call.canonical().decode(), hashed, question)


def look(service: Service, caller: Caller, submission: Submission, *, again: bool) -> Sight:
    """What holds now. The first time a bundle may be a second old, since it is confirmed later.

    Raises:
        Unavailable: no bundle has been activated, or no database.
    """
    if not again:
        current, now = service.recent(caller.tenant)
        if not current.bundle.engine.rules_use_usage:
            return Sight(current, now, _NOTHING_USED)
    with service.store.read() as tx:
        return look_within(service, tx, caller, submission)


def look_within(service: Service, tx: Tx, caller: Caller, submission: Submission) -> Sight:
    """What holds in this transaction."""
    current = service.current_bundle(tx, caller.tenant)
    usage = _usage(tx, caller, submission) if _by_rules(current) else _NOTHING_USED
    return Sight(current, tx.now, usage)


def weigh(submission: Submission, written: Written, sight: Sight) -> Weighed:
    """What policy says, and what people would be shown."""
    facts = Facts(
        call=submission.call,
        agent=submission.agent,
        user=submission.user,
        now=sight.now,
        task=submission.task,
        usage=sight.usage,
        excluded=sight.current.excluded,
    )
    verdict = policy.evaluate(sight.current.bundle, facts)
    drawn = None
    if isinstance(verdict, Escalate):
        tool = sight.current.bundle.tool(submission.call.target, submission.call.tool)
        shown = display.shown(tool, submission.call)
        text = canonical.encode(shown.document()).decode()
        drawn = Drawn(text, shown.digest(), shown.gist())
    return Weighed(sight.current, facts, verdict, written, drawn)


def confirm(
    service: Service, tx: Tx, caller: Caller, submission: Submission, weighed: Weighed
) -> Weighed | None:
    """The weighed call as it stands in this transaction, or None: weigh it again.

    Where the bundle looks at counters, the transaction has locked the agent before.
    """
    if not service.is_current(tx, caller.tenant, weighed.current):
        return None
    if abs(tx.now - weighed.facts.now) > FRESH:
        return None
    bundle = weighed.current.bundle
    if not policy.needs_usage(bundle):
        return weighed
    facts = replace(weighed.facts, usage=_usage(tx, caller, submission))
    if _by_rules(weighed.current):
        return weighed if facts.usage == weighed.facts.usage else None
    verdict = policy.recount(bundle, facts, weighed.verdict)
    return None if verdict is None else replace(weighed, facts=facts, verdict=verdict)


def _by_rules(current: CurrentBundle) -> bool:
    return current.bundle.engine.rules_use_usage


def _usage(tx: Tx, caller: Caller, submission: Submission) -> dict[str, int]:
    return tx.counters.usage(
        tenant=caller.tenant, agent=submission.agent, tool=submission.call.tool, now=tx.now
    )
