"""The tables of calls: policy and its verdicts, requests, votes, approvals and their spending."""

from __future__ import annotations

from typing import ClassVar

from sqlalchemy import Index, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

from approvals.store.rows.sealed import BIG, SealedRow


class BundleRow(SealedRow, table=True):
    """A policy bundle that was activated at least once: its files exactly as they were reviewed."""

    __tablename__ = "bundle"
    tenant: str = Field(primary_key=True)
    version: str = Field(primary_key=True)
    files: str = Field(sa_type=Text)
    created: int = Field(sa_type=BIG)


class ActivationRow(SealedRow, table=True):
    """One activation. The newest is current: an old bundle returns only by a new activation.

    The tenant's activations are numbered from 0, so the seal covers which of them this is.
    `excluded` is a JSON list of everybody who ever activated this version: none of them is asked
    under its rules.
    """

    __tablename__ = "activation"
    tenant: str = Field(primary_key=True)
    number: int = Field(primary_key=True, sa_type=BIG, sa_column_kwargs={"autoincrement": False})
    version: str
    activated_by: str
    excluded: str = Field(sa_type=Text)
    created: int = Field(sa_type=BIG)


class VerdictRow(SealedRow, table=True):
    """One answer of policy, with all that is needed to evaluate it again."""

    __tablename__ = "verdict"
    id: str = Field(primary_key=True)
    tenant: str
    enforcer: str
    agent: str
    person: str
    target: str
    tool: str
    call_hash: str
    bundle: str
    outcome: str
    answer: str = Field(sa_type=Text)
    record: str = Field(sa_type=Text)
    created: int = Field(sa_type=BIG)


class CountRow(SQLModel, table=True):
    """How often something was counted in the time from `start` on, `span` seconds long.

    Limits are held to these numbers, which the log tells as well: see `flow.auditing.audit`.
    """

    __tablename__ = "count"
    tenant: str = Field(primary_key=True)
    counter: str = Field(primary_key=True)
    subject: str = Field(primary_key=True)
    span: int = Field(primary_key=True)
    start: int = Field(primary_key=True, sa_type=BIG, index=True)
    count: int = Field(sa_type=BIG)


class IdempotencyRow(SealedRow, table=True):
    """Which verdict answered an `Idempotency-Key`, and for which body."""

    __tablename__ = "idempotency"
    tenant: str = Field(primary_key=True)
    enforcer: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    body_digest: str
    verdict: str
    created: int = Field(sa_type=BIG)


class RequestRow(SealedRow, table=True):
    """A request. `open_key` is unique while the request can still lead to execution.

    `follow_at` is when somebody is to be told next although nothing has happened, if at all. `gist`
    are the first fields of its display for lists, cut. What can be long is in `RequestTextRow`.
    """

    __tablename__ = "request"
    # Where to look for a request is not believed: it is computed from what was found (`open_key`).
    # How often it was repeated and who is told when decide nothing.
    unsealed: ClassVar[frozenset[str]] = frozenset({"open_key", "repeats", "follow_at"})
    id: str = Field(primary_key=True)
    tenant: str
    enforcer: str
    agent: str
    person: str
    target: str
    tool: str
    call_hash: str
    state: str
    open_key: str | None = Field(default=None, unique=True)
    repeats: int = Field(default=0)
    digest: str
    gist: str = Field(sa_type=Text)
    created: int = Field(sa_type=BIG)
    expires: int = Field(sa_type=BIG)
    decided: int | None = Field(default=None, sa_type=BIG)
    follow_at: int | None = Field(default=None, sa_type=BIG)
    __table_args__ = (
        Index("request_agent", "tenant", "agent", "created"),
        Index("request_due", "state", "expires"),
        Index("request_follow", "state", "follow_at"),
        Index("request_open", "tenant", "agent", "state", "call_hash"),
        Index("request_person", "tenant", "person", "created"),
        Index("request_tool", "tenant", "agent", "tool", "state", "decided"),
    )


class RequestTextRow(SealedRow, table=True):
    """The texts of a request, each as it was pinned when it was opened.

    They stand apart because they can be long: a list of requests reads none of them.
    """

    __tablename__ = "request_text"
    request: str = Field(primary_key=True, foreign_key="request.id")
    tenant: str
    document: str = Field(sa_type=Text)
    call: str = Field(sa_type=Text)
    display: str = Field(sa_type=Text)
    explanation: str | None = Field(default=None, sa_type=Text)


class SeatRow(SealedRow, table=True):
    """A person who is asked about a request, and what of it they have opened.

    `created` is when it was opened and `rules` are those for which this person is asked.
    """

    __tablename__ = "seat"
    request: str = Field(primary_key=True, foreign_key="request.id")
    person: str = Field(primary_key=True)
    tenant: str
    first_seen: int | None = Field(default=None, sa_type=BIG)
    opened_whole: int | None = Field(default=None, sa_type=BIG)
    rules: str = Field(sa_type=Text)
    created: int = Field(sa_type=BIG)
    __table_args__ = (Index("seat_person", "tenant", "person", "created"),)


class VoteRow(SealedRow, table=True):
    """One person's decision on one request: there can be no second, and no two at one place."""

    __tablename__ = "vote"
    request: str = Field(primary_key=True, foreign_key="request.id")
    person: str = Field(primary_key=True)
    position: int
    tenant: str
    decision: str
    step_up: str
    channel: str
    reason: str | None = Field(default=None, sa_type=Text)
    statement: str | None = Field(default=None, sa_type=Text)
    evidence: str | None = Field(default=None, sa_type=Text)
    created: int = Field(sa_type=BIG)
    __table_args__ = (
        UniqueConstraint("request", "position", name="vote_order"),
        Index("vote_time", "tenant", "created"),
    )


class ApprovalRow(SealedRow, table=True):
    """An issued approval.

    `lapse_at` is when it is to be recorded that nobody spent it; none once it was spent or ended.
    It grants nothing: whether an approval has expired is said by `expires`.
    """

    __tablename__ = "approval"
    unsealed: ClassVar[frozenset[str]] = frozenset({"lapse_at"})
    jti: str = Field(primary_key=True)
    tenant: str
    txn: str = Field(unique=True)
    enforcer: str
    call_hash: str
    bundle: str
    basis: str
    token: str = Field(sa_type=Text)
    state: str
    created: int = Field(sa_type=BIG)
    expires: int = Field(sa_type=BIG)
    lapse_at: int | None = Field(default=None, sa_type=BIG, index=True)


class SpendRow(SealedRow, table=True):
    """That an approval was spent, keyed on the approval's id: the primary key is the guard.

    `receipt` is the token as it was given, so that the same use gets the same one again, also after
    a key rotation. Rows are never deleted, so a row outlives every approval's `exp` plus skew.
    """

    __tablename__ = "spend"
    jti: str = Field(primary_key=True)
    tenant: str
    use_id: str
    receipt: str = Field(sa_type=Text)
    created: int = Field(sa_type=BIG)


class OutcomeRow(SealedRow, table=True):
    """What became of the call that a spent approval let through."""

    __tablename__ = "outcome"
    jti: str = Field(primary_key=True)
    tenant: str
    status: str
    output_hash: str | None = None
    created: int = Field(sa_type=BIG)
