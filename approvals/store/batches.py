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
4. A failed commit can leave its frames in the write-ahead log, where a recovery after a crash would
   find them. So another commit is put in their place. Only where that fails as well is the outcome
   unknown, and each member is told that.
5. Nobody waits for the turn beyond the deadline of the block, and a batch never waits for somebody
   who has given up.
"""

from __future__ import annotations

import contextlib
import enum
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pysqlite3 import dbapi2 as sqlite
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

from approvals.core.errors import OutcomeUnknown
from approvals.store import deadline
from approvals.store.faults import BATCH, DISK, LOCKED, Failed, Fault, fault_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine

LARGEST: Final = 64
"""Members of a batch at most: whoever came first does not wait for everybody."""

COMMIT_SECONDS: Final = 30.0
"""How long a member waits for the commit of its batch, after which it may have been done or not."""

_TRIES: Final = 3
_PAUSE: Final = 0.1


class _End(enum.Enum):
    OPEN = enum.auto()
    COMMITTED = enum.auto()
    NOTHING_DONE = enum.auto()
    UNKNOWN = enum.auto()


@dataclass(eq=False, slots=True)
class _Batch:
    connection: Connection
    driver: Any
    members: int = 0
    fault: Fault | None = None
    end: _End = _End.OPEN
    done: threading.Event = field(default_factory=threading.Event)

    def alive(self) -> bool:
        """Whether the database transaction still stands: SQLite ends it itself when it must."""
        return bool(self.driver.in_transaction)

    def finish(self) -> None:
        """Commit for all members, or for none."""
        # Until the commit has returned. Whatever ends it before that, out of memory or an interrupt
        # as well as the database, nobody may be told that their changes are on disk.
        self.end = _End.UNKNOWN
        try:
            if self.fault is None and self.alive():
                self._commit()
            else:
                self.fault = self.fault or DISK
                self.end = _End.NOTHING_DONE
                self.connection.rollback()
        except SQLAlchemyError:
            pass  # each member is told
        finally:
            self.done.set()
            self.connection.close()

    def _commit(self) -> None:
        try:
            self.connection.commit()
            self.end = _End.COMMITTED
        except SQLAlchemyError as error:
            self.fault = fault_of(error) or DISK
            self.end = _End.NOTHING_DONE if self._replaced() else _End.UNKNOWN
        except BaseException:
            if self.alive():  # interrupted before SQLite was reached
                self.end = _End.NOTHING_DONE
                self.driver.execute("ROLLBACK")
            raise

    def _replaced(self) -> bool:
        """Whether another commit stands where the failed one could be found after a crash."""
        for attempt in range(_TRIES):
            if attempt:
                time.sleep(_PAUSE)
            try:
                if self.alive():
                    self.driver.execute("ROLLBACK")
                self.driver.execute("BEGIN IMMEDIATE")
                # The same number again: it changes nothing, and is written all the same.
                (version,) = self.driver.execute("PRAGMA user_version").fetchone()
                self.driver.execute(f"PRAGMA user_version={int(version)}")
                self.driver.execute("COMMIT")
            except sqlite.Error:
                continue
            return True
        return False


class Batches:
    """The one writer of a process."""

    def __init__(self, engine: Engine, *, info: dict[str, object]) -> None:
        self._engine = engine
        self._info = info
        self._room = threading.Condition()
        self._busy = False
        self._queued = 0
        self._open: _Batch | None = None

    @contextlib.contextmanager
    def join(self) -> Iterator[Session]:
        """A transaction among others; it is on disk when the block has ended without an error.

        Raises:
            Failed: the turn did not come in time, or the commit failed; nothing was done.
            OutcomeUnknown: the commit failed, and so did what would have made that certain.
        """
        self._take_turn()
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
        except SQLAlchemyError as error:
            # What state the others' changes are in cannot be known: none of them is to count.
            if batch is not None:
                batch.fault = fault_of(error) or BATCH
            raise
        finally:
            self._leave(batch)
        if not batch.done.wait(COMMIT_SECONDS):
            raise OutcomeUnknown
        match batch.end:
            case _End.COMMITTED:
                return
            case _End.NOTHING_DONE:
                raise Failed(batch.fault or DISK)
            case _:
                raise OutcomeUnknown

    def _take_turn(self) -> None:
        left = deadline.left()
        with self._room:
            self._queued += 1
            mine = self._room.wait_for(
                lambda: not self._busy, timeout=None if left is None else max(left, 0.0)
            )
            self._queued -= 1
            if not mine:
                raise Failed(LOCKED)
            self._busy = True

    def _begin(self) -> _Batch:
        connection = self._engine.connect()
        try:
            connection.begin()
        except BaseException:
            connection.close()
            raise
        return _Batch(connection, connection.connection.driver_connection)

    def _leave(self, batch: _Batch | None) -> None:
        """Pass the turn on: with the batch, or after it has been committed."""
        with self._room:
            if batch is not None:
                batch.members += 1
            # Decided and done in one step: who is counted as waiting will get the batch.
            if batch is None or (self._queued and batch.fault is None and batch.members < LARGEST):
                self._pass_on()
                return
            self._open = None
        try:
            batch.finish()
        finally:  # whatever happened: a turn that is kept stops every writer
            with self._room:
                self._pass_on()

    def _pass_on(self) -> None:
        self._busy = False
        self._room.notify()
