"""The tables of what people are told, and of the signed callbacks that come back."""

from __future__ import annotations

from sqlalchemy import Index, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

from approvals.store.rows.sealed import BIG


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


class CallbackRow(SQLModel, table=True):
    """A signed callback that was taken: none is taken twice, by any process."""

    __tablename__ = "callback"
    digest: str = Field(primary_key=True)
    tenant: str
    created: int = Field(sa_type=BIG, index=True)
