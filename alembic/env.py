"""Runs migrations. The URL comes from the service; one process migrates at a time."""

from __future__ import annotations

from alembic import context
from sqlalchemy import text

from approvals.store import rows
from approvals.store.engine import connect

MIGRATION_LOCK = 7_234_001  # an advisory lock number on PostgreSQL, arbitrary and fixed

engine = connect(context.config.attributes["url"])
with engine.connect().execution_options(writes=True) as connection:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_lock(:n)"), {"n": MIGRATION_LOCK})
    context.configure(
        connection=connection,
        target_metadata=rows.SQLModel.metadata,
        transaction_per_migration=False,
    )
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_unlock(:n)"), {"n": MIGRATION_LOCK})
        connection.commit()
engine.dispose()
