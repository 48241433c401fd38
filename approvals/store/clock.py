"""What time it is: the database's time, on which every replica agrees, and never far back.

On SQLite there is one process and its clock is the clock. PostgreSQL is asked at most once a
second; in between its answer is carried on by a clock that cannot be set.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from sqlalchemy import func, select

from approvals.core.errors import Unavailable
from approvals.store.rows import CheckpointRow

if TYPE_CHECKING:
    from sqlmodel import Session

SKEW: Final = 30
SAMPLE_SECONDS: Final = 1.0
_ASK = select(func.extract("epoch", func.clock_timestamp()))


class Clock:
    """The time of one database, in seconds since 1970. Safe to share between threads."""

    def __init__(self, *, local: bool) -> None:
        self._local = local
        self._sampled: tuple[float, float] | None = None  # the database's time, our steady time
        self.latest = 0

    def read(self, session: Session) -> int:
        """The time now.

        Raises:
            Unavailable: it runs behind what is already recorded (`clock_backwards`), so nothing
                can be granted on it.
        """
        now = int(time.time()) if self._local else int(self._of_database(session))
        if self.latest == 0:
            newest = session.execute(select(func.max(CheckpointRow.created))).scalar()
            self.latest = int(newest or 0)
        if now < self.latest - SKEW:
            raise Unavailable(
                f"the clock runs {self.latest - now} seconds behind what is already recorded",
                code="clock_backwards",
            )
        self.latest = max(self.latest, now)
        return now

    def _of_database(self, session: Session) -> float:
        steady = time.monotonic()
        sampled = self._sampled
        if sampled is None or steady - sampled[1] > SAMPLE_SECONDS:
            sampled = (float(session.connection().execute(_ASK).scalar_one()), steady)
            self._sampled = sampled
        return sampled[0] + steady - sampled[1]
