"""Work that is done again and again in the background: one kind of loop, and one place to see all.

What holds: an exception ends one round and never the loop. `Loops` keeps in memory when each loop
last completed a round, how often it failed, and the code of its last error. A round must be
idempotent and may be late: no guarantee of the service depends on it having run.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from approvals.core.errors import AssentError

if TYPE_CHECKING:
    from collections.abc import Callable

LATE_ROUNDS: Final = 5
LATE_SECONDS: Final = 30.0
"""A loop is late when it has not ended a round well in this time and in so many of its pauses."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LoopState:
    """How a loop is: seconds since its last good round (or its start), failures, the last code.

    `error` is None again after a good round.
    """

    name: str
    age: float
    late: bool
    failures: int
    error: str | None


@dataclass(slots=True)
class _Known:
    every: float
    good: float
    failures: int = 0
    error: str | None = None


class Loops:
    """How the loops of one process are. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, _Known] = {}

    def began(self, name: str, *, every: float) -> None:
        """A loop starts; it is expected to end a round each `every` seconds or so."""
        with self._lock:
            self._known[name] = _Known(every, time.monotonic())

    def ended(self, name: str) -> None:
        """A loop was told to stop: nothing is expected of it any more."""
        with self._lock:
            self._known.pop(name, None)

    def good(self, name: str) -> None:
        """A round ended well."""
        with self._lock:
            known = self._known.get(name)
            if known is not None:
                known.good, known.error = time.monotonic(), None

    def failed(self, name: str, code: str) -> bool:
        """A round failed; whether that is news."""
        with self._lock:
            known = self._known.get(name)
            if known is None:
                return True
            news = known.error != code
            known.error = code
            known.failures += 1
            return news

    def states(self) -> list[LoopState]:
        """Every loop that should be running, by name."""
        now = time.monotonic()
        with self._lock:
            return [
                LoopState(
                    name=name,
                    age=now - known.good,
                    late=now - known.good > max(LATE_SECONDS, LATE_ROUNDS * known.every),
                    failures=known.failures,
                    error=known.error,
                )
                for name, known in sorted(self._known.items())
            ]


class Loop(threading.Thread):
    """A thread that does a round, waits, and does the next one, until it is stopped."""

    def __init__(
        self, loops: Loops, name: str, work: Callable[[], object], *, every: float
    ) -> None:
        """Prepare; `start` begins. A round that returns True is followed by the next at once."""
        super().__init__(name=f"assent-{name}", daemon=True)
        self._loops = loops
        self._called = name
        self._work = work
        self._every = every
        self._stopping = False
        self._bell = threading.Event()

    def run(self) -> None:
        """Do rounds; for the thread alone."""
        self._loops.began(self._called, every=self._every)
        while not self._stopping:
            self._bell.clear()
            if self._round() is not True:
                self._bell.wait(self._every)
        self._loops.ended(self._called)

    def ring(self) -> None:
        """Do the next round now."""
        self._bell.set()

    def stop(self, *, seconds: float | None = None) -> None:
        """End after the round under way, waiting for it at most `seconds`."""
        self._stopping = True
        self._bell.set()
        if self.is_alive():
            self.join(timeout=seconds)

    def _round(self) -> object:
        return attempt(self._loops, self._called, self._work)


def attempt(loops: Loops, name: str, work: Callable[[], object]) -> object:
    """Do one round of a loop; what it raises is logged without its message, and counted."""
    try:
        done = work()
    except AssentError as error:
        if loops.failed(name, error.code):
            _log.error("loop_failed", loop=name, code=error.code)
    except Exception as error:  # noqa: BLE001 - whatever one round raises must not end the rounds
        code = type(error).__name__
        if loops.failed(name, code):
            _log.error("loop_broken", loop=name, error=code)
    else:
        loops.good(name)
        return done
    return None
