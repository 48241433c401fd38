"""What this process last saw of its database: commits, faults, the clock, the listener.

It is recorded as transactions happen. Reading it makes no query and never waits.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Final

LOG_SECONDS: Final = 10.0
"""One line in this time tells of a fault that goes on."""


@dataclass(frozen=True, slots=True)
class Health:
    """The state of one process's store.

    `fault` names why the last transaction that wrote failed (`faults.Fault.name`, or
    `outcome_unknown`); None where it committed or none was tried. `committed` and `faulted` are the
    seconds since the last commit and the last fault. `clock` is the code of what is wrong with the
    clock. `listening` says whether announcements of other processes are heard, and `silence` for
    how many seconds the listener has not heard itself; on SQLite nobody needs to listen.
    """

    fault: str | None
    committed: float | None
    faulted: float | None
    clock: str | None
    listening: bool
    silence: float | None


class Recorder:
    """Keeps what happened to transactions. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fault: str | None = None
        self._spent: dict[str, tuple[int, float]] = {}
        self._committed: float | None = None
        self._faulted: float | None = None
        self._told = 0.0

    def spent(self, kind: str, seconds: float) -> None:
        """A transaction of this kind took so long, in whatever way it ended."""
        with self._lock:
            count, total = self._spent.get(kind, (0, 0.0))
            self._spent[kind] = (count + 1, total + seconds)

    def times(self) -> dict[str, tuple[int, float]]:
        """How many transactions of each kind there were, and their seconds together."""
        with self._lock:
            return dict(self._spent)

    def committed(self) -> None:
        """A transaction that may write has committed."""
        now = time.monotonic()
        with self._lock:
            self._fault, self._committed = None, now

    def faulted(self, name: str) -> bool:
        """A transaction failed because of the database. Whether that is news."""
        now = time.monotonic()
        with self._lock:
            news = name != self._fault or now - self._told > LOG_SECONDS
            self._fault, self._faulted = name, now
            if news:
                self._told = now
        return news

    def snapshot(self, *, clock: str | None, listening: bool, silence: float | None) -> Health:
        """What is known now."""
        now = time.monotonic()
        with self._lock:
            return Health(
                fault=self._fault,
                committed=None if self._committed is None else now - self._committed,
                faulted=None if self._faulted is None else now - self._faulted,
                clock=clock,
                listening=listening,
                silence=silence,
            )
