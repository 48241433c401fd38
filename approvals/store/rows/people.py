"""The tables of people: what they sign in and decide with, their browsers and chat accounts."""

from __future__ import annotations

from sqlalchemy import Index, LargeBinary, Text, UniqueConstraint
from sqlmodel import Field

from approvals.store.rows.sealed import BIG, SealedRow


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
    """A challenge given to a browser: taken once, before it expires, for what it was made for.

    `id` is a hash of the id that the browser was told and answers with. Where it enrols a passkey,
    `after` is the last of its person's events before it, by leaf hash. `epoch`: see `SessionRow`.
    """

    __tablename__ = "ceremony"
    id: str = Field(primary_key=True)
    tenant: str
    kind: str
    person: str | None = None
    subject: str | None = None
    after: bytes | None = Field(default=None, sa_type=LargeBinary)
    epoch: bytes | None = Field(default=None, sa_type=LargeBinary)
    challenge: bytes = Field(sa_type=LargeBinary)
    statement: str = Field(sa_type=Text)
    state: str
    expires: int = Field(sa_type=BIG, index=True)


class SessionRow(SealedRow, table=True):
    """A signed-in browser, kept by the SHA-256 of its token.

    `epoch` is the leaf hash of the last restore that an operator had accepted when the row was
    made, null before any: the next restore ends it, whether or not the row is there then.
    """

    __tablename__ = "session"
    token_hash: str = Field(primary_key=True)
    tenant: str
    person: str
    epoch: bytes | None = Field(default=None, sa_type=LargeBinary)
    signed_in: int = Field(sa_type=BIG)
    expires: int = Field(sa_type=BIG, index=True)


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
    """A code with which a signed-in person proves that a chat account is theirs; used once.

    `epoch`: see `SessionRow`.
    """

    __tablename__ = "link_code"
    code_hash: str = Field(primary_key=True)
    tenant: str
    channel: str
    person: str
    epoch: bytes | None = Field(default=None, sa_type=LargeBinary)
    state: str
    expires: int = Field(sa_type=BIG)
