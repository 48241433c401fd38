"""Who calls the API, and what a call says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from approvals.core.calls import ToolCall


@dataclass(frozen=True, slots=True)
class Caller:
    """An enforcer whose token held. It sees its own requests and approvals and nobody else's.

    `key` is the thumbprint of the key that signed the token. What the enforcer may do is said by
    the bundle that is current when it does it: see `flow.acting.access`.
    """

    tenant: str
    enforcer: str
    key: str


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a call came from, as the enforcer tells it: goes to the log, decides nothing."""

    prompt_hash: str | None = None
    context_refs: tuple[str, ...] = ()
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Submission:
    """A call that asks to be let through.

    `explanation` is the agent's prose: it is shown apart from the facts and decides nothing.
    `body_digest` is the digest of the bytes that came, for `idempotency_key`.
    """

    call: ToolCall
    agent: str
    user: str
    body_digest: str
    task: str | None = None
    precondition: str | None = None
    explanation: str | None = None
    provenance: Provenance = field(default_factory=Provenance)
    idempotency_key: str | None = None
