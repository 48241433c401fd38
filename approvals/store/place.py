"""Whether the SQLite file that this process writes is still the one that others would open.

A file that is removed, moved or replaced goes on to be written by whoever has it open, and is gone
with the process: what was acknowledged is lost without an error. SQLite looks for that only where
it opens a rollback journal, never in WAL mode. So the path is compared with what was opened.

What holds: as long as a connection is open, SQLite neither removes the `-wal` file nor makes
another one. One connection is kept for that, and so that the numbers of the files are not used
again for others.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pysqlite3 import dbapi2 as sqlite

if TYPE_CHECKING:
    from sqlalchemy import URL

_File = tuple[int, int] | None


class Place:
    """The files of an SQLite database, as they were when it was opened."""

    def __init__(self, path: Path) -> None:
        self._paths = (path, path.with_name(f"{path.name}-wal"))
        self._kept = sqlite.connect(path, check_same_thread=False, isolation_level=None)
        self._kept.execute("SELECT count(*) FROM sqlite_master").fetchone()
        self._opened = [_file(each) for each in self._paths]

    @classmethod
    def of(cls, url: URL) -> Place | None:
        """The place of a database; None where it is no file of ours."""
        if url.get_backend_name() != "sqlite" or url.database in {None, "", ":memory:"}:
            return None
        return cls(Path(str(url.database)))

    def moved(self) -> Path | None:
        """The first file that is not the one that was opened: gone, moved or replaced."""
        for path, opened in zip(self._paths, self._opened, strict=True):
            if _file(path) != opened:
                return path
        return None

    def close(self) -> None:
        """Let go of the files."""
        self._kept.close()


def _file(path: Path) -> _File:
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino)
