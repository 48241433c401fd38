"""Who exists and what may be called: the values that a bundle registers.

They stand apart from reading a bundle, so that what only shows or checks a call (the display, an
enforcer) needs neither a YAML reader nor a policy engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from approvals.core.canonical import Json
    from approvals.core.decision.ceremony import StepUp


HOOK_EVENTS = (
    "account.linked",
    "account.unlinked",
    "digest",
    "passkey.enrolled",
    "passkey.revoked",
    "reminder",
    "request",
)
"""What a webhook may be told."""


@dataclass(frozen=True, slots=True)
class Absence:
    """A time in which somebody is away: from `start` until before `end`, Unix seconds."""

    start: int
    end: int
    stand_in: str

    def covers(self, now: int) -> bool:
        """Whether the person is away at this moment."""
        return self.start <= now < self.end


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who may ask, decide, or own something.

    `channels` are where they are told, best liked first: `email`, `slack`, `webhook:` and a hook's
    name; everybody has the web inbox besides. `stand_ins` are all who may ever stand in for them,
    `absences` when which of those does.
    """

    id: str
    name: str
    email: str | None
    slack: str | None
    groups: tuple[str, ...]
    channels: tuple[str, ...] = ()
    stand_ins: tuple[str, ...] = ()
    absences: tuple[Absence, ...] = ()


@dataclass(frozen=True, slots=True)
class Shift:
    """Who of a group is told first, from `start` until before `end`, Unix seconds."""

    start: int
    end: int
    people: tuple[str, ...]

    def covers(self, now: int) -> bool:
        """Whether it is this shift at this moment."""
        return self.start <= now < self.end


@dataclass(frozen=True, slots=True)
class Hook:
    """A webhook: where notices are posted, and which kinds of them (of `HOOK_EVENTS`)."""

    name: str
    url: str
    events: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Agent:
    """A program that calls tools for people; tier 1 is the least autonomous, 4 the most."""

    id: str
    owner: str
    purpose: str
    model: str
    tier: int
    users: tuple[str, ...]
    limits: Mapping[str, int]


class FieldKind(StrEnum):
    """How a displayed field is laid out and checked for look-alikes."""

    TEXT = "text"
    CODE = "code"
    MONEY = "money"
    NUMBER = "number"
    BOOLEAN = "boolean"
    PERSON = "person"
    ADDRESS = "address"
    HOST = "host"
    LIST = "list"


@dataclass(frozen=True, slots=True)
class Field:
    """One line of a tool's display: the argument at `path` (RFC 6901), what to call it, its kind.

    Money names its currency by a literal or by the path of the argument that holds it. Only a field
    with `summary` may leave the service in a notice: mail and chat are read on other people's
    machines.
    """

    path: str
    label: str
    kind: FieldKind
    currency: str | None = None
    currency_path: str | None = None
    summary: bool = False


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool as registered: where it is, what it takes, how risky it is, how a call is shown.

    `definition` is the digest of the whole entry, all of which people and rules relied on.
    """

    name: str
    target: str
    title: str
    schema: Mapping[str, Json]
    groups: tuple[str, ...]
    owner: str
    opaque: bool
    display: tuple[Field, ...]
    definition: str


@dataclass(frozen=True, slots=True)
class Enforcer:
    """Who may submit and spend: public keys (JWK) and the targets it guards.

    `agents` are those that it may speak for; None: all.
    """

    id: str
    keys: tuple[Mapping[str, Json], ...]
    targets: tuple[str, ...]
    agents: tuple[str, ...] | None = None

    def speaks_for(self, agent: str) -> bool:
        """Whether it may submit calls of this agent."""
        return self.agents is None or agent in self.agents

    def serves(self, *, target: str, agent: str) -> bool:
        """Whether calls of this agent to this target are its own: to ask, see, spend and end."""
        return target in self.targets and self.speaks_for(agent)


@dataclass(frozen=True, slots=True)
class Asks:
    """What a rule asks of people before it falls away."""

    approvers: tuple[str, ...]
    quorum: int
    step_up: StepUp
    ttl: int
    escalate: tuple[tuple[int, str], ...]
    exclude_owner: bool


@dataclass(frozen=True, slots=True)
class Rule:
    """One Cedar policy: where it is written, its sentence, and what it asks (None: nothing)."""

    id: str
    effect: str
    file: str
    line: int
    reason: str | None
    asks: Asks | None


@dataclass(frozen=True, slots=True)
class Case:
    """A call and the verdict expected of it; what is None is not compared."""

    name: str
    file: str
    line: int
    target: str
    tool: str
    args: Mapping[str, Json]
    agent: str
    user: str
    now: int
    task: str | None
    usage: Mapping[str, int]
    outcome: str
    code: str | None
    rules: tuple[str, ...] | None
    eligible: Mapping[str, tuple[str, ...]] | None
