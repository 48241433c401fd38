from __future__ import annotations

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlmodel import SQLModel

from approvals.store import open_store
from approvals.store.engine import connect
from tests.seals import mac


def test_migrations_make_the_tables_that_the_rows_describe(empty_database_url: str) -> None:
    store = open_store(empty_database_url, mac=mac)
    store.close()
    engine = connect(store._engine.url.render_as_string(hide_password=False))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, SQLModel.metadata) == []
    engine.dispose()


def test_migrating_again_changes_nothing(empty_database_url: str) -> None:
    for _ in range(2):
        open_store(empty_database_url, mac=mac).close()


def test_every_table_is_bound_to_a_tenant() -> None:
    service_wide = {
        "node",
        "checkpoint",
        "standing",
    }  # the log is one; its leaves name their tenant
    for table in SQLModel.metadata.tables.values():
        assert "tenant" in table.columns or table.name in service_wide, table.name
