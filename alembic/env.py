"""Runs migrations. The URL comes from the service; one process migrates at a time."""

from __future__ import annotations

import contextlib

from alembic import context
from sqlalchemy import text
from sqlmodel import SQLModel

import approvals.store.rows  # noqa: F401 - all tables, for the metadata
from approvals.store.engine import connect
from approvals.store.postgres import MIGRATION_SECONDS

MIGRATION_LOCK = 7_234_001  # an advisory lock number on PostgreSQL, arbitrary and fixed

engine = connect(context.config.attributes["url"], size=1, seconds=MIGRATION_SECONDS)
with (
    contextlib.ExitStack() as after,
    engine.connect().execution_options(writes=True) as connection,
):
    after.callback(engine.dispose)
    if connection.dialect.name == "postgresql":
        # Held until this transaction ends, so that it also holds behind a connection pooler.
        connection.execute(text("SELECT pg_advisory_xact_lock(:n)"), {"n": MIGRATION_LOCK})
    context.configure(
        connection=connection,
        target_metadata=SQLModel.metadata,
        transaction_per_migration=False,
    )
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
