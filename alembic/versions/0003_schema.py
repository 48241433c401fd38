"""The schema.

The log of an earlier development version cannot be carried over: its events have other members, and
a signed log cannot be rewritten. So this is a first schema again, under a revision of its own.

Revision ID: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "account",
        sa.Column("seal", sa.LargeBinary(), nullable=False),
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
        "activation",
        sa.Column("seal", sa.LargeBinary(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("number", BIG, autoincrement=False, nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("activated_by", sa.String(), nullable=False),
        sa.Column("excluded", sa.Text(), nullable=False),
        sa.Column("created", BIG, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "number"),
    )
    op.create_table(
        "approval",
        sa.Column("seal", sa.LargeBinary(), nullable=False),
        sa.Column("jti", sa.String(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("txn", sa.String(), nullable=False),
        sa.Column("enforcer", sa.String(), nullable=False),
        sa.Column("call_hash", sa.String(), nullable=False),
        sa.Column("bundle", sa.String(), nullable=False),
        sa.Column("basis", sa.String(), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("created", BIG, nullable=False),
        sa.Column("expires", BIG, nullable=False),
        sa.Column("lapse_at", BIG, nullable=True),
        sa.PrimaryKeyConstraint("jti"),
        sa.UniqueConstraint("txn"),
    )
    op.create_index(op.f("ix_approval_lapse_at"), "approval", ["lapse_at"], unique=False)
    op.create_table(
        "bundle",
        sa.Column("seal", sa.LargeBinary(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("files", sa.Text(), nullable=False),
        sa.Column("created", BIG, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "version"),
    )
    op.create_table(
        "callback",
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("created", BIG, nullable=False),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_index(op.f("ix_callback_created"), "callback", ["created"], unique=False)
    op.create_table(
        "ceremony",
        sa.Column("seal", sa.LargeBinary(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("person", sa.String(), nullable=True),
        sa.Column("subject", sa.String(), nullable=True),
        sa.Column("after", sa.LargeBinary(), nullable=True),
        sa.Column("epoch", sa.LargeBinary(), nullable=True),
        sa.Column("challenge", sa.LargeBinary(), nullable=False),
        sa.Column("statement", sa.Text(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("expires", BIG, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_ceremony_expires"), "ceremony", ["expires"], unique=False)
    op.create_table(
        "chain",
        sa.Column("seal", sa.LargeBinary(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("count", BIG, nullable=False),
        sa.Column("head", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "subject"),
    )
    op.create_table(
        "checkpoint",
        sa.Column("size", BIG, autoincrement=False, nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("created", BIG, nullable=False),
        sa.PrimaryKeyConstraint("size"),
    )
    op.create_table(
        "handle",
        sa.Column("seal", sa.LargeBinary(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("handle", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "person"),
        sa.UniqueConstraint("handle"),
    )
    op.create_table(
        "idempotency",
        sa.Column("seal", sa.LargeBinary(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("enforcer", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("body_digest", sa.String(), nullable=False),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("created", BIG, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "enforcer", "key"),
    )
    op.create_table(
        "invitation",
        sa.Column("seal", sa.LargeBinary(), nullable=False),
        sa.Column("token_hash", sa.String(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("replaces", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("created", BIG, nullable=False),
        sa.Column("expires", BIG, nullable=False),
        sa.PrimaryKeyConstraint("token_hash"),
    )
    op.create_index("invitation_person", "invitation", ["tenant", "person"], unique=False)
    op.create_table(
        "leaf",
        sa.Column("index", BIG, autoincrement=False, nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("leaf", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("opening", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("index"),
    )
    op.create_index("leaf_subject", "leaf", ["tenant", "subject", "index"], unique=False)
    op.create_table(
        "link_code",
        sa.Column("seal", sa.LargeBinary(), nullable=False),
        sa.Column("code_hash", sa.String(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("epoch", sa.LargeBinary(), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("expires", BIG, nullable=False),
        sa.PrimaryKeyConstraint("code_hash"),
    )
    op.create_table(
        "node",
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("index", BIG, autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("level", "index"),
    )
    op.create_table(
        "notice",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("agent", sa.String(), nullable=True),
        sa.Column("enforcer", sa.String(), nullable=True),
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
    op.create_index("notice_cap", "notice", ["tenant", "person", "created"], unique=False)
    op.create_index("notice_due", "notice", ["state", "next_try", "channel"], unique=False)
    op.create_index("notice_subject", "notice", ["tenant", "subject"], unique=False)
    op.create_table(
        "outcome",
        sa.Column("seal", sa.LargeBinary(), nullable=False),
        sa.Column("jti", sa.String(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("output_hash", sa.String(), nullable=True),
        sa.Column("created", BIG, nullable=False),
        sa.PrimaryKeyConstraint("jti"),
    )
    op.create_table(
        "passkey",
        sa.Column("seal", sa.LargeBinary(), nullable=False),
        sa.Column("credential_id", sa.String(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("sign_count", BIG, nullable=False),
        sa.Column("aaguid", sa.LargeBinary(), nullable=False),
        sa.Column("backup_eligible", sa.Boolean(), nullable=False),
        sa.Column("backup_state", sa.Boolean(), nullable=False),
        sa.Column("step_up", sa.String(), nullable=False),
        sa.Column("attestation", sa.Text(), nullable=True),
        sa.Column("transports", sa.String(), nullable=False),
        sa.Column("uses", BIG, nullable=False),
        sa.Column("decisions", BIG, nullable=False),
        sa.Column("unseen", BIG, nullable=False),
        sa.Column("last_used", BIG, nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("created", BIG, nullable=False),
        sa.Column("ended", BIG, nullable=True),
        sa.PrimaryKeyConstraint("credential_id"),
        sa.UniqueConstraint("public_key"),
    )
    op.create_index("passkey_person", "passkey", ["tenant", "person"], unique=False)
    op.create_table(
        "request",
        sa.Column("seal", sa.LargeBinary(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("enforcer", sa.String(), nullable=False),
        sa.Column("agent", sa.String(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("tool", sa.String(), nullable=False),
        sa.Column("call_hash", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("open_key", sa.String(), nullable=True),
        sa.Column("repeats", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("gist", sa.Text(), nullable=False),
        sa.Column("created", BIG, nullable=False),
        sa.Column("expires", BIG, nullable=False),
        sa.Column("decided", BIG, nullable=True),
        sa.Column("follow_at", BIG, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("open_key"),
    )
    op.create_index("request_agent", "request", ["tenant", "agent", "created"], unique=False)
    op.create_index("request_due", "request", ["state", "expires"], unique=False)
    op.create_index("request_follow", "request", ["state", "follow_at"], unique=False)
    op.create_index(
        "request_open", "request", ["tenant", "agent", "state", "call_hash"], unique=False
    )
    op.create_index("request_person", "request", ["tenant", "person", "created"], unique=False)
    op.create_index(
        "request_tool", "request", ["tenant", "agent", "tool", "state", "decided"], unique=False
    )
    op.create_table(
        "session",
        sa.Column("seal", sa.LargeBinary(), nullable=False),
        sa.Column("token_hash", sa.String(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("epoch", sa.LargeBinary(), nullable=True),
        sa.Column("signed_in", BIG, nullable=False),
        sa.Column("expires", BIG, nullable=False),
        sa.PrimaryKeyConstraint("token_hash"),
    )
    op.create_index(op.f("ix_session_expires"), "session", ["expires"], unique=False)
    op.create_table(
        "spend",
        sa.Column("seal", sa.LargeBinary(), nullable=False),
        sa.Column("jti", sa.String(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("use_id", sa.String(), nullable=False),
        sa.Column("receipt", sa.Text(), nullable=False),
        sa.Column("created", BIG, nullable=False),
        sa.PrimaryKeyConstraint("jti"),
    )
    op.create_table(
        "count",
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("counter", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("span", sa.Integer(), nullable=False),
        sa.Column("start", BIG, nullable=False),
        sa.Column("count", BIG, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "counter", "subject", "span", "start"),
    )
    op.create_index(op.f("ix_count_start"), "count", ["start"], unique=False)
    op.create_table(
        "staged",
        sa.Column("seal", sa.LargeBinary(), nullable=False),
        sa.Column("id", BIG, nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("leaf", sa.LargeBinary(), nullable=False),
        sa.Column("opening", sa.Text(), nullable=False),
        sa.Column("created", BIG, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "standing",
        sa.Column("id", BIG, nullable=False),
        sa.Column("identity", sa.String(), nullable=False),
        sa.Column("url", sa.String(), nullable=True),
        sa.Column("closed", sa.String(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("since", BIG, nullable=True),
        sa.Column("probed", BIG, nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "verdict",
        sa.Column("seal", sa.LargeBinary(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("enforcer", sa.String(), nullable=False),
        sa.Column("agent", sa.String(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("tool", sa.String(), nullable=False),
        sa.Column("call_hash", sa.String(), nullable=False),
        sa.Column("bundle", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.Column("created", BIG, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "seat",
        sa.Column("seal", sa.LargeBinary(), nullable=False),
        sa.Column("request", sa.String(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("first_seen", BIG, nullable=True),
        sa.Column("opened_whole", BIG, nullable=True),
        sa.Column("rules", sa.Text(), nullable=False),
        sa.Column("created", BIG, nullable=False),
        sa.ForeignKeyConstraint(["request"], ["request.id"]),
        sa.PrimaryKeyConstraint("request", "person"),
    )
    op.create_index("seat_person", "seat", ["tenant", "person", "created"], unique=False)
    op.create_table(
        "request_text",
        sa.Column("seal", sa.LargeBinary(), nullable=False),
        sa.Column("request", sa.String(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("call", sa.Text(), nullable=False),
        sa.Column("display", sa.Text(), nullable=False),
        sa.Column("explanation", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["request"], ["request.id"]),
        sa.PrimaryKeyConstraint("request"),
    )
    op.create_table(
        "vote",
        sa.Column("seal", sa.LargeBinary(), nullable=False),
        sa.Column("request", sa.String(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("decision", sa.String(), nullable=False),
        sa.Column("step_up", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("statement", sa.Text(), nullable=True),
        sa.Column("evidence", sa.Text(), nullable=True),
        sa.Column("created", BIG, nullable=False),
        sa.ForeignKeyConstraint(["request"], ["request.id"]),
        sa.PrimaryKeyConstraint("request", "person"),
        sa.UniqueConstraint("request", "position", name="vote_order"),
    )
    op.create_index("vote_time", "vote", ["tenant", "created"], unique=False)
    # ### end Alembic commands ###
