"""Group commit for SQLite: transactions that queue for the one writer share one flush to disk.

A flush costs more than the work of a transaction, and only one can be under way. So whoever finds
others waiting when its work is done leaves its changes in the open database transaction, as a
released savepoint, and waits; the one that finds nobody waiting commits for all of them.

What holds:
1. Nobody goes on before their changes are on disk: `join` returns after the commit.
2. Each member commits or is rolled back on its own (its savepoint), unless the commit fails: then
   none of them committed, and each is told.
3. A failure after which SQLite has given up the whole transaction (disk full, I/O error) fails
   every member.
"""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

from approvals.core.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine

    from approvals.store.seals import Seals

LARGEST = 64
"""Members of a batch at most: whoever came first does not wait for everybody."""


@dataclass(eq=False, slots=True)
class _Batch:
    connection: Connection
    members: int = 0
    broken: bool = False
    done: threading.Event = field(default_factory=threading.Event)

    def alive(self) -> bool:
        """Whether the database transaction still stands: SQLite ends it itself when it must."""
        return bool(self.connection.connection.driver_connection.in_transaction)  # type: ignore[union-attr]

    def end(self) -> None:
        """Commit for all members, or for none."""
        # Until the commit has returned. Whatever ends it before that, out of memory or an interrupt
        # as well as the database, nobody may be told that their changes are on disk.
        broken, self.broken = self.broken, True
        try:
            if not broken and self.alive():
                self.connection.commit()
                self.broken = False
            else:
                self.connection.rollback()
        except SQLAlchemyError:
            pass  # each member is told
        finally:
            self.done.set()
            self.connection.close()


class Batches:
    """The one writer of a process."""

    def __init__(self, engine: Engine, *, info: dict[str, Seals]) -> None:
        self._engine = engine
        self._info = info
        self._turn = threading.Lock()
        self._queue = threading.Lock()
        self._queued = 0
        self._open: _Batch | None = None

    @contextlib.contextmanager
    def join(self) -> Iterator[Session]:
        """A transaction among others; it is on disk when the block has ended without an error.

        Raises:
            Unavailable: the commit failed; nothing of the block was done.
        """
        with self._queue:
            self._queued += 1
        self._turn.acquire()  # noqa: SIM115, RUF100 - released before the batch is waited for
        with self._queue:
            self._queued -= 1
        batch = None
        try:
            batch = self._open = self._open or self._begin()
            with (
                Session(
                    batch.connection,
                    join_transaction_mode="create_savepoint",
                    expire_on_commit=False,
                    info=self._info,
                ) as session,
                session.begin(),
            ):
                yield session
        except SQLAlchemyError:
            # What state the others' changes are in cannot be known: none of them is to count.
            if batch is not None:
                batch.broken = True
            raise
        finally:
            try:
                if batch is not None:
                    self._leave(batch)
            finally:
                self._turn.release()  # whatever happened: a turn that is kept stops every writer
        batch.done.wait()
        if batch.broken:
            raise Unavailable("the database could not commit")

    def _begin(self) -> _Batch:
        connection = self._engine.connect()
        try:
            connection.begin()
        except SQLAlchemyError:
            connection.close()
            raise
        return _Batch(connection)

    def _leave(self, batch: _Batch) -> None:
        batch.members += 1
        with self._queue:
            last = self._queued == 0
        if last or batch.broken or batch.members >= LARGEST:
            self._open = None
            batch.end()
