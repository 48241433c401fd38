"""The database's file is its owner's, whatever the folder that it is in."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from approvals.store import open_store
from tests.seals import mac

if TYPE_CHECKING:
    from pathlib import Path


def test_nobody_else_reads_the_database(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    before = os.umask(0o022)
    try:
        store = open_store(f"sqlite:///{tmp_path / 'assent.db'}", mac=mac)
        with store.begin():
            modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
        store.close()
    finally:
        os.umask(before)
    assert "assent.db" in modes
    assert set(modes.values()) == {0o600}
