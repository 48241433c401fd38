"""The tables of the log, and the row that says which database this is."""

from __future__ import annotations

from typing import ClassVar

from sqlalchemy import Index, LargeBinary, Text
from sqlmodel import Field, SQLModel

from approvals.store.rows.sealed import BIG, SealedRow


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


def as_octets(value: bytes | str) -> bytes:
    """SQLite gives text back where an edit left text: it is to be found out, not to fail."""
    return value.encode() if isinstance(value, str) else value
