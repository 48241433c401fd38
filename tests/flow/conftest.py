"""A service on each kind of database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.service import Running, start

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def running(tmp_path: Path, database_url: str) -> Iterator[Running]:
    """A service with ada and ben enrolled; uma and cleo have no passkey."""
    service = start(tmp_path, database_url)
    yield service
    service.service.store.close()


@pytest.fixture
def later(running: Running, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Lets so many seconds pass for the service, at once."""
    store = running.service.store

    def pass_by(seconds: int) -> None:
        honest = store._now
        monkeypatch.setattr(store, "_now", lambda session: honest(session) + seconds)

    return pass_by
