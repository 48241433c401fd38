"""Whether the SQLite file that this process writes is still the one that others would open.

A file that is removed, moved or replaced goes on to be written by whoever has it open, and is gone
with the process: what was acknowledged is lost without an error. SQLite looks for that only where
it opens a rollback journal, never in WAL mode. So the path is compared with what was opened.

What holds: as long as a connection is open, SQLite neither removes the `-wal` file nor makes
another one. One connection is kept for that, and so that the numbers of the files are not used
again for others.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from pysqlite3 import dbapi2 as sqlite

if TYPE_CHECKING:
    from sqlalchemy import URL

_File = tuple[int, int] | None


class Place:
    """The files of an SQLite database, as they were when it was opened."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._wal = path.with_name(f"{path.name}-wal")
        self._lock = threading.Lock()
        self._kept: sqlite.Connection | None = None
        self._opened: tuple[_File, _File] = (_file(path), None)
        self._open()

    @classmethod
    def of(cls, url: URL) -> Place | None:
        """The place of a database; None where it is no file of ours."""
        if url.get_backend_name() != "sqlite" or url.database in {None, "", ":memory:"}:
            return None
        return cls(Path(str(url.database)))

    def moved(self) -> Path | None:
        """The first file that is not the one that was opened: gone, moved or replaced."""
        if self._kept is None and _file(self._path) == self._opened[0]:
            self._open()  # an application that was shut down is started again
        for path, opened in zip((self._path, self._wal), self._opened, strict=True):
            if _file(path) != opened:
                return path
        return None

    def close(self) -> None:
        """Let go of the files, until they are asked about again."""
        with self._lock:
            if self._kept is not None:
                self._kept.close()
                self._kept = None

    def _open(self) -> None:
        with self._lock:
            if self._kept is None:
                self._kept = sqlite.connect(
                    self._path, check_same_thread=False, isolation_level=None
                )
                self._kept.execute("SELECT count(*) FROM sqlite_master").fetchone()
                self._opened = (self._opened[0], _file(self._wal))


def _file(path: Path) -> _File:
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino)
