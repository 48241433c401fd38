"""This process reads the log itself, leaf by leaf, and believes no column that says what a leaf is.

Somebody who can write to the database may file a leaf under another subject. The subject then has a
shorter history, which a chain's end and rows of that time agree with, and no hash changes.

1. `follow` reads each leaf that was added, whichever process added it. So the process knows how far
   each subject goes (`store.ends`), and refuses to use one that goes less far. A process that
   serves begins with the last `WINDOW` leaves, so a restart forgets nothing that is newer.
2. `sweep` reads the whole log from the first leaf to the last, a bounded number of leaves at a
   time, and then again. So an older leaf that was filed elsewhere or deleted is found within the
   time of one sweep, and the service closes.

Both hold what they read to a checkpoint that these keys signed. The cost of a round depends on what
was added and on `SWEPT`, never on the length of the log.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from approvals.log import Follower
from approvals.store.ends import KEPT

if TYPE_CHECKING:
    from approvals.core.tlog.leaves import StoredCheckpoint
    from approvals.keys.mark import Marked
    from approvals.store import Tx
    from approvals.store.ends import Ends

WINDOW: Final = KEPT
"""Leaves that a process reads when it starts: as many as it can know ends."""

SWEPT: Final = 2048
"""Leaves that one step of a sweep reads."""


@dataclass(slots=True)
class _Sweep:
    """A sweep on its way to the checkpoint that was the last when it began."""

    follower: Follower
    to: Marked


@dataclass(slots=True)
class Reading:
    """How far one process has read in the log of a database. Safe to share between threads."""

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _window: int = 0
    _identity: str | None = None
    _reached: int | None = None
    _tail: Follower | None = None
    _sweep: _Sweep | None = None

    def look_back(self, leaves: int) -> None:
        """Let `follow` begin with so many leaves that are in the log already."""
        with self._lock:
            self._window, self._reached, self._tail = leaves, None, None

    def follow(self, tx: Tx, ends: Ends, *, identity: str, last: StoredCheckpoint | None) -> None:
        """Read on to the `last` checkpoint, which was verified, of the database of this identity.

        Raises:
            ProofError: `log_altered` or `log_incomplete`: the leaves are not those that were
                signed, or one is filed elsewhere.
        """
        with self._lock:
            if identity != self._identity:
                if self._identity is not None:
                    ends.forget()
                self._identity, self._reached, self._tail, self._sweep = identity, None, None, None
            size = 0 if last is None else last.size
            if self._reached is None:
                self._reached = max(0, size - self._window)
            reached = self._reached
            if last is None or size <= reached:
                return
            # After an error it is made anew, and the same leaves are read again.
            tail, self._tail = self._tail or Follower(tx.log, start=reached), None
            found = list(tail.read(tx.log, size))
            tail.verify(last.root)
            ends.add(found)
            self._reached, self._tail = size, tail

    def sweep(self, tx: Tx, marked: Marked) -> int:
        """Read some more of the whole log; gives how many leaves of this sweep lie behind.

        `marked` is the newest checkpoint that the keys' mark is of: a sweep ends at the one that it
        began with. Raises as `follow` does.
        """
        with self._lock:
            now, self._sweep = self._sweep, None  # after an error it begins again
            if now is None or now.to.identity != marked.identity:
                now = _Sweep(Follower(tx.log), marked)
            end = min(now.follower.size + SWEPT, now.to.size)
            for _ in now.follower.read(tx.log, end):
                pass
            if end == now.to.size:
                now.follower.verify(now.to.root)
            else:
                self._sweep = now
            return end
