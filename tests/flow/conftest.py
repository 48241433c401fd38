"""A service on each kind of database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.service import Running, start

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def running(tmp_path: Path, database_url: str) -> Iterator[Running]:
    """A service with ada and ben enrolled; uma and cleo have no passkey."""
    service = start(tmp_path, database_url)
    yield service
    service.service.store.close()
