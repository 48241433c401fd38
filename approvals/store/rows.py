"""The tables. A row is for storing only: values go in and come out, rows never leave `store`.

Every table carries the tenant, and every query names it. Times are whole seconds since 1970 (UTC).
Documents whose bytes matter (payloads, statements, tokens, leaves) are stored as the text or bytes
that was hashed or signed, never as a database's own JSON type, which would rewrite them.
A row that grants something is a `SealedRow`: `store.seals` says what that means and how it is
written.
"""

from __future__ import annotations

from typing import ClassVar

from sqlalchemy import BigInteger, Index, Integer, LargeBinary, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

# SQLite numbers rows only in a column declared INTEGER; PostgreSQL's INTEGER ends in 2038.
BIG = BigInteger().with_variant(Integer, "sqlite")


class SealedRow(SQLModel):
    """A row that grants something, sealed over every column that is not in `unsealed`.

    A column may be `unsealed` only if nothing that it can hold grants, shows or hides anything.
    """

    unsealed: ClassVar[frozenset[str]] = frozenset()
    seal: bytes = Field(sa_type=LargeBinary)


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


class HandleRow(SealedRow, table=True):
    """The random WebAuthn user handle of a person: only their device knows them by it."""

    __tablename__ = "handle"
    tenant: str = Field(primary_key=True)
    person: str = Field(primary_key=True)
    handle: bytes = Field(sa_type=LargeBinary, unique=True)


class PasskeyRow(SealedRow, table=True):
    """An enrolled passkey. Neither its id nor its public key can belong to two persons.

    `step_up` is the strongest step-up that it makes, and `attestation` the document that shows it.
    `uses` counts the assertions that were checked here, `decisions` those of them that decided;
    `unseen` sums what the authenticator's own counter moved beyond them. `state` is active or
    revoked.
    """

    __tablename__ = "passkey"
    credential_id: str = Field(primary_key=True)
    tenant: str
    person: str
    public_key: bytes = Field(sa_type=LargeBinary, unique=True)
    sign_count: int = Field(sa_type=BIG)
    aaguid: bytes = Field(sa_type=LargeBinary)
    backup_eligible: bool
    backup_state: bool
    step_up: str
    attestation: str | None = Field(default=None, sa_type=Text)
    transports: str = Field(default="")
    uses: int = Field(default=0, sa_type=BIG)
    decisions: int = Field(default=0, sa_type=BIG)
    unseen: int = Field(default=0, sa_type=BIG)
    last_used: int | None = Field(default=None, sa_type=BIG)
    state: str
    created: int = Field(sa_type=BIG)
    ended: int | None = Field(default=None, sa_type=BIG)
    __table_args__ = (Index("passkey_person", "tenant", "person"),)


class InvitationRow(SealedRow, table=True):
    """A single-use invitation, kept by the SHA-256 of its token.

    `replaces`: the person's former passkeys ended when it was made, and end when it is used.
    """

    __tablename__ = "invitation"
    token_hash: str = Field(primary_key=True)
    tenant: str
    person: str
    replaces: bool
    state: str
    created: int = Field(sa_type=BIG)
    expires: int = Field(sa_type=BIG)
    __table_args__ = (Index("invitation_person", "tenant", "person"),)


class CeremonyRow(SealedRow, table=True):
    """A challenge given to a browser: taken once, before it expires, for what it was made for."""

    __tablename__ = "ceremony"
    id: str = Field(primary_key=True)
    tenant: str
    kind: str
    person: str | None = None
    subject: str | None = None
    challenge: bytes = Field(sa_type=LargeBinary)
    statement: str = Field(sa_type=Text)
    state: str
    expires: int = Field(sa_type=BIG, index=True)


class SessionRow(SealedRow, table=True):
    """A signed-in browser, kept by the SHA-256 of its token."""

    __tablename__ = "session"
    token_hash: str = Field(primary_key=True)
    tenant: str
    person: str
    signed_in: int = Field(sa_type=BIG)
    expires: int = Field(sa_type=BIG, index=True)


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


class ChainRow(SealedRow, table=True):
    """How many events a subject has, and the leaf hash of the last: where its next one follows."""

    __tablename__ = "chain"
    tenant: str = Field(primary_key=True)
    subject: str = Field(primary_key=True)
    count: int = Field(sa_type=BIG)
    head: bytes | None = Field(default=None, sa_type=LargeBinary)


class StagedRow(SealedRow, table=True):
    """An event that committed and waits for its place in the log."""

    __tablename__ = "staged"
    # The database numbers the line; which event comes first is said in the events themselves.
    unsealed: ClassVar[frozenset[str]] = frozenset({"id"})
    id: int | None = Field(default=None, primary_key=True, sa_type=BIG)
    tenant: str
    subject: str
    leaf: bytes = Field(sa_type=LargeBinary)
    opening: str = Field(sa_type=Text)
    created: int = Field(sa_type=BIG)


class LeafRow(SQLModel, table=True):
    """A leaf of the log: the sealed event, the openings of its commitments, its place."""

    __tablename__ = "leaf"
    index: int = Field(primary_key=True, sa_type=BIG, sa_column_kwargs={"autoincrement": False})
    tenant: str
    subject: str
    leaf: bytes = Field(sa_type=LargeBinary)
    hash: bytes = Field(sa_type=LargeBinary)
    opening: str = Field(sa_type=Text)
    __table_args__ = (Index("leaf_subject", "tenant", "subject", "index"),)


class NodeRow(SQLModel, table=True):
    """The hash of a full subtree of 256^level leaves, for levels from 1 up (C2SP tlog-tiles)."""

    __tablename__ = "node"
    level: int = Field(primary_key=True)
    index: int = Field(primary_key=True, sa_type=BIG, sa_column_kwargs={"autoincrement": False})
    hash: bytes = Field(sa_type=LargeBinary)


class CheckpointRow(SQLModel, table=True):
    """A signed checkpoint. One size can have one root: the size is the key."""

    __tablename__ = "checkpoint"
    size: int = Field(primary_key=True, sa_type=BIG, sa_column_kwargs={"autoincrement": False})
    root: bytes = Field(sa_type=LargeBinary)
    note: str = Field(sa_type=Text)
    created: int = Field(sa_type=BIG)


class StandingRow(SQLModel, table=True):
    """The one row that says which database this is, and whether anything may be granted on it.

    `identity` is random and made with the database, so that another database is told from this one.
    `closed` is the code of what was found wrong with the log; while it is set, no process grants.
    `url` is the address of the service that last started on it. `probed` is written to find out
    whether anything can be.
    """

    __tablename__ = "standing"
    id: int = Field(primary_key=True, sa_type=BIG, sa_column_kwargs={"autoincrement": False})
    identity: str
    url: str | None = None
    closed: str | None = None
    reason: str | None = Field(default=None, sa_type=Text)
    since: int | None = Field(default=None, sa_type=BIG)
    probed: int | None = Field(default=None, sa_type=BIG)


class NoticeRow(SQLModel, table=True):
    """Outbox: what a person is to be told on one channel, and how far that is.

    `revision` counts what there is to tell; `sent` is the revision that was delivered. A worker
    holds a row by its `lease` until `lease_until`. `reference` is what the channel needs to
    change or follow up what it sent. `due` is since when there is something untold; `next_try` is
    far in the future while there is nothing.
    """

    __tablename__ = "notice"
    id: str = Field(primary_key=True)
    tenant: str
    kind: str
    person: str
    channel: str
    subject: str
    agent: str | None = None
    enforcer: str | None = None
    revision: int
    sent: int
    state: str
    attempts: int
    next_try: int = Field(sa_type=BIG)
    lease: str | None = None
    lease_until: int = Field(sa_type=BIG)
    reference: str | None = Field(default=None, sa_type=Text)
    error: str | None = None
    created: int = Field(sa_type=BIG)
    due: int = Field(sa_type=BIG)
    __table_args__ = (
        Index("notice_due", "state", "next_try", "channel"),
        Index("notice_cap", "tenant", "person", "created"),
        Index("notice_subject", "tenant", "subject"),
        UniqueConstraint("tenant", "kind", "person", "channel", "subject", name="notice_once"),
    )


class AccountRow(SealedRow, table=True):
    """A chat account that its owner linked while signed in with a passkey."""

    __tablename__ = "account"
    channel: str = Field(primary_key=True)
    team: str = Field(primary_key=True)
    account: str = Field(primary_key=True)
    tenant: str
    person: str
    created: int = Field(sa_type=BIG)
    __table_args__ = (UniqueConstraint("tenant", "channel", "person", name="account_person"),)


class LinkCodeRow(SealedRow, table=True):
    """A code with which a signed-in person proves that a chat account is theirs; used once."""

    __tablename__ = "link_code"
    code_hash: str = Field(primary_key=True)
    tenant: str
    channel: str
    person: str
    state: str
    expires: int = Field(sa_type=BIG)


class CallbackRow(SQLModel, table=True):
    """A signed callback that was taken: none is taken twice, by any process."""

    __tablename__ = "callback"
    digest: str = Field(primary_key=True)
    tenant: str
    created: int = Field(sa_type=BIG, index=True)
