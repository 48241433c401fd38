"""A database file that is removed, moved or replaced under the service is noticed at once."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from approvals.core.errors import Unavailable
from approvals.flow.integrity.rounds import sequence
from approvals.store import open_store
from tests.seals import mac
from tests.service import start

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def remove(path: Path) -> None:
    path.unlink()


def move(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))


def replace(path: Path) -> None:
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    copy.rename(path)


@pytest.mark.parametrize("harm", [remove, move, replace])
@pytest.mark.parametrize("which", ["a.db", "a.db-wal"])
def test_nothing_is_granted_once_the_file_is_not_the_one_that_is_written(
    tmp_path: Path, which: str, harm: Callable[[Path], None]
) -> None:
    running = start(tmp_path, f"sqlite:///{tmp_path}/a.db", people=())
    running.submit("1", tool="balance")
    assert running.service.store.moved() is None
    harm(tmp_path / which)
    assert running.service.store.moved() == tmp_path / which
    with pytest.raises(Unavailable) as refused:
        running.submit("2", tool="balance")
    assert refused.value.code == "closed"
    with pytest.raises(Unavailable) as refused:
        sequence(running.service)
    assert refused.value.code == "database_moved"
    running.service.store.close()


def test_connections_that_come_and_go_are_no_move(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    store = open_store(url, mac=mac)
    for _ in range(3):
        open_store(url, mac=mac).close()
        with store.begin() as tx:
            tx.standing.put_url("http://localhost")
        assert store.moved() is None
    store._engine.dispose()
    assert store.moved() is None
    store.close()
    assert store.moved() is None  # used again, as an application that is started again does
    with store.begin() as tx:
        tx.standing.put_url("http://localhost")
    assert store.moved() is None
    store.close()
    (tmp_path / "a.db").unlink()
    assert store.moved() == tmp_path / "a.db"
