"""A service on each kind of database."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from sqlmodel import select

from approvals.store.rows.log import StagedRow
from approvals.store.seals import change
from tests.intruder import Intruder
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
def intruder(running: Running) -> Iterator[Intruder]:
    """Somebody who can write to the service's database, and has neither keys nor code."""
    made = Intruder.at(running.service.settings.database_url)
    yield made
    made.engine.dispose()


@pytest.fixture
def later(running: Running, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Stops the service's clock, and lets so many seconds pass on it, at once."""
    passed = [int(time.time())]
    monkeypatch.setattr(running.service.store, "_now", lambda _session: sum(passed))

    def pass_by(seconds: int) -> None:
        # The sequencer that would have run meanwhile is not what is tested: nothing waits for it.
        with running.service.store.begin() as tx:
            for row in tx.session.exec(select(StagedRow)).all():
                change(tx.session, row, created=row.created + seconds)
        passed.append(seconds)

    return pass_by
