"""The company's service in this process, without a network; and behind a real server."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
from starlette.testclient import TestClient

from tests.api.running import Running, open_company, served
from tests.postgres import database

if TYPE_CHECKING:
    from collections.abc import Iterator

URL = "http://localhost:8420"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def kept_database(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """A database of each kind that a module's tests share; None is the default, a file at home."""
    with contextlib.ExitStack() as stack:
        if request.param == "sqlite":
            yield None
        else:
            yield stack.enter_context(database(request.getfixturevalue("postgres_cluster")))


@pytest.fixture(scope="module")
def company(
    tmp_path_factory: pytest.TempPathFactory, kept_database: str | None
) -> Iterator[Running]:
    """The company on each database; tests of a module share it, as callers share a service."""
    made = open_company(
        tmp_path_factory.mktemp("company") / "home", url=URL, database=kept_database
    )
    with TestClient(made.app, base_url=URL):
        yield made


@pytest.fixture
def http(company: Running) -> TestClient:
    """A plain HTTP client, for what `approvals.client` would never send."""
    return TestClient(company.app, base_url=company.url)


@pytest.fixture(scope="module")
def online(
    tmp_path_factory: pytest.TempPathFactory, kept_database: str | None
) -> Iterator[Running]:
    """The company behind a real server, on each database."""
    home = tmp_path_factory.mktemp("online") / "home"
    with served(home, database=kept_database) as made:
        yield made
