"""What time it is: the database's time, on which every replica agrees, and never far off.

On SQLite there is one process and its clock is the clock. PostgreSQL is asked at most once a
second; in between its answer is carried on by a clock that cannot be set.

What holds:
1. Time never runs ahead of the database's clock: the steady clock is read after the answer, so an
   answer that took long only makes time a little late.
2. Within a process time does not run backwards. A clock that was set back by no more than `SKEW`
   stands still until it has caught up.
3. Nothing is written on a clock that was set back further (`clock_backwards`), or forward by more
   than `JUMP` (`clock_ahead`): such a time is not recorded either, so setting the clock right is
   enough.
4. What it was set by is added up while the process runs, so many small steps are as good as one.
   Only `SLEW` of the time that passes is forgiven: clocks that nobody sets differ by less. In the
   T seconds since it was first read, the clock gained at most `JUMP` + `SLEW` * T and lost at most
   `SKEW` + `SLEW` * T.
5. Reading is never refused because of a clock. It goes on with the time as it would be without the
   jump.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import func, select
from sqlmodel import col

from approvals.core.errors import Unavailable
from approvals.store.rows.log import CheckpointRow

if TYPE_CHECKING:
    from sqlmodel import Session

SKEW: Final = 30
JUMP: Final = 60
"""Seconds by which the clock may be set forward, in all, while the process runs."""

SLEW: Final = 500e-6
"""Seconds in a second by which clocks may differ that nobody sets: ntpd slews one by no more."""

SAMPLE_SECONDS: Final = 1.0
_LONG_ANSWER: Final = 0.25
"""An answer that took longer is true for who asked, and not carried on for others."""

_LAST: Final = select(col(CheckpointRow.created)).order_by(col(CheckpointRow.size).desc()).limit(1)
_ASK: Final = select(func.extract("epoch", func.clock_timestamp()))


def steady() -> float:
    """Seconds of a clock that nobody can set, and that goes on while the machine sleeps."""
    # macOS has the second one, which counts sleep there; time.monotonic() does not.
    for name in ("CLOCK_BOOTTIME", "CLOCK_MONOTONIC_RAW"):
        clock: int | None = getattr(time, name, None)
        if clock is not None:
            return time.clock_gettime(clock)
    return time.monotonic()


@dataclass(frozen=True, slots=True)
class _Look:
    """A look at both clocks that was right: what each said, and by how much they have parted.

    `drift` is by how many seconds the clock was set forward in all, and negative if back.
    """

    told: float
    at: float
    drift: float


class Clock:
    """The time of one database, in seconds since 1970. Safe to share between threads."""

    def __init__(self, *, local: bool) -> None:
        self._local = local
        self._lock = threading.Lock()
        self._sampled: tuple[float, float] | None = None  # the database's time, our steady time
        self._seen: _Look | None = None
        self._loaded = False
        self._wrong: tuple[str, str] | None = None
        self.latest = 0

    def read(self, session: Session) -> int:
        """The time now, as far as it can be believed; `require` says whether it is right."""
        told = time.time() if self._local else self._of_database(session)
        at = steady()
        recorded = 0
        if not self._loaded:
            recorded = int(session.execute(_LAST).scalar() or 0)
        with self._lock:
            if not self._loaded:
                self._loaded = True
                self.latest = max(self.latest, recorded)
            return self._judged(told, at)

    def require(self) -> None:
        """Let nothing be written on a wrong clock.

        Raises:
            Unavailable: `clock_backwards` or `clock_ahead`; the sentence says what to do.
        """
        wrong = self._wrong
        if wrong is not None:
            raise Unavailable(wrong[1], code=wrong[0])

    def forget(self) -> None:
        """Judge by what the database records now: it was repaired."""
        with self._lock:
            self._loaded, self._seen, self._wrong, self.latest = False, None, None, 0

    @property
    def trouble(self) -> str | None:
        """The code of what is wrong with the clock, if anything is."""
        wrong = self._wrong
        return None if wrong is None else wrong[0]

    def _judged(self, told: float, at: float) -> int:
        now = int(told)
        drift = 0.0
        believed = now
        seen = self._seen
        if seen is not None:
            expected = seen.told + at - seen.at
            drift = _forgiven(seen.drift + told - expected, SLEW * max(0.0, at - seen.at))
            believed = max(int(expected), self.latest)
        if now < self.latest - SKEW:
            self._wrong = (
                "clock_backwards",
                (
                    f"the clock runs {self.latest - now} seconds behind what is already recorded: "
                    "set it right; if it is right, run `assent log repair-clock` and restart"
                ),
            )
            return believed
        if not -SKEW <= drift <= JUMP:
            self._wrong = (
                "clock_ahead" if drift > 0 else "clock_backwards",
                (
                    f"the clock was set {'forward' if drift > 0 else 'back'} by {int(abs(drift))} "
                    "seconds in all while the service runs: set it right; if it is right, restart "
                    "the service"
                ),
            )
            return believed
        self._wrong = None
        self._seen = _Look(told, at, drift)
        self.latest = max(self.latest, now)
        return self.latest

    def _of_database(self, session: Session) -> float:
        before = steady()
        sampled = self._sampled
        if sampled is not None and before - sampled[1] <= SAMPLE_SECONDS:
            return sampled[0] + before - sampled[1]
        told = float(session.connection().execute(_ASK).scalar_one())
        after = steady()
        if after - before <= _LONG_ANSWER:
            self._sampled = (told, after)
        return told


def _forgiven(drift: float, much: float) -> float:
    """A drift, brought nearer to none by so much."""
    return max(0.0, drift - much) if drift > 0 else min(0.0, drift + much)
