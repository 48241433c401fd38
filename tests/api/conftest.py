"""The company's service in this process, without a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from starlette.testclient import TestClient

from tests.api.running import Running, open_company, served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

URL = "http://localhost:8420"


@pytest.fixture
def company(tmp_path: Path, database_url: str) -> Iterator[Running]:
    """The company on each database."""
    made = open_company(tmp_path / "home", url=URL, database=database_url)
    with TestClient(made.app, base_url=URL):
        yield made


@pytest.fixture
def http(company: Running) -> TestClient:
    """A plain HTTP client, for what `approvals.client` would never send."""
    return TestClient(company.app, base_url=company.url, raise_server_exceptions=True)


@pytest.fixture
def online(tmp_path: Path, database_url: str) -> Iterator[Running]:
    """The company behind a real server, on each database."""
    with served(tmp_path / "home", database=database_url) as made:
        yield made
