"""Channels: deliveries with leases, linked accounts, callbacks taken once, when a person looked.

Revision ID: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    # No channel has ever delivered from the first outbox: its rows tell nobody anything.
    op.drop_table("notice")
    op.create_table(
        "notice",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("agent", sa.String(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("sent", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_try", BIG, nullable=False),
        sa.Column("lease", sa.String(), nullable=True),
        sa.Column("lease_until", BIG, nullable=False),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("created", BIG, nullable=False),
        sa.Column("due", BIG, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("tenant", "kind", "person", "channel", "subject", name="notice_once"),
    )
    op.create_index("notice_due", "notice", ["channel", "state", "next_try"])
    op.create_index("notice_cap", "notice", ["tenant", "person", "agent", "created"])
    op.create_index("notice_subject", "notice", ["tenant", "subject"])
    op.create_table(
        "account",
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("team", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("created", BIG, nullable=False),
        sa.PrimaryKeyConstraint("channel", "team", "account"),
        sa.UniqueConstraint("tenant", "channel", "person", name="account_person"),
    )
    op.create_table(
        "link_code",
        sa.Column("code_hash", sa.String(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("expires", BIG, nullable=False),
        sa.PrimaryKeyConstraint("code_hash"),
    )
    op.create_table(
        "callback",
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("created", BIG, nullable=False),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_index("ix_callback_created", "callback", ["created"])
    op.add_column("seat", sa.Column("first_seen", BIG, nullable=True))
    op.add_column("request", sa.Column("follow_at", BIG, nullable=True))
    op.create_index("request_follow", "request", ["state", "follow_at"])
    op.create_index("request_open", "request", ["tenant", "agent", "state", "call_hash"])
    op.create_index("vote_time", "vote", ["tenant", "created"])
