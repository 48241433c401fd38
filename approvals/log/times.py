"""Whether the times beside checkpoints are times at which these can have been made.

They are not signed, and the service believes the last one: one that is ahead makes it take a right
clock for one that was set back, and one that is behind hides that a clock was set back.

What holds of a log whose clock was right: a checkpoint is not made before the newest event that it
covers, not after the one that follows it, and not in the future. Where the clock was ahead for a
while the events say so too, and a repair lowered the times beside the checkpoints (`clock.repaired`
in the log): a time that a later repair can have set is right.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from approvals.core.errors import ProofError, Unavailable
from approvals.core.history.events import ClockRepaired, Event
from approvals.core.history.leaves import parse_leaf
from approvals.log.follow import CHUNK
from approvals.log.sequence import BATCH

if TYPE_CHECKING:
    from collections.abc import Iterator

    from approvals.log.tables import Tables

_APART: Final = 60
"""Seconds by which two right clocks may differ."""


@dataclass(frozen=True, slots=True)
class Wrong:
    """A time beside the checkpoint of this size that cannot be right, and one that can."""

    size: int
    right: int
    message: str


@dataclass(frozen=True, slots=True)
class _Made:
    size: int
    created: int
    newest: int


class Times:
    """Goes along leaves and checkpoints in their order; `now` is the time."""

    def __init__(self, *, now: int) -> None:
        self._now = now
        self._newest = 0
        self._last: _Made | None = None
        self._early: list[_Made] = []
        self._repairs: list[tuple[int, int]] = []

    def leaf(self, index: int, event: Event) -> None:
        """The next event."""
        if isinstance(event, ClockRepaired):
            # Times before it may be wrong.
            self._repairs.append((index, event.time))
            self._newest = event.time
        else:
            self._newest = max(self._newest, event.time)

    def checkpoint(self, size: int, created: int) -> Iterator[Wrong]:
        """The next checkpoint, which covers exactly the leaves until now; gives what is wrong."""
        made = _Made(size, created, self._newest)
        latest = max(self._now, made.newest)
        if created > latest + _APART:
            right = min(self._now, made.newest)  # or it would be later than the one after it
            yield Wrong(size, right, _said(created - latest, "later than the clock and events"))
            return
        if created < made.newest - _APART:
            self._early.append(made)  # unless a repair comes that explains it
            return
        if self._last is not None and self._last.created > created + _APART:
            apart = self._last.created - created
            yield Wrong(self._last.size, created, _said(apart, "later than the one after it"))
        self._last = made

    def early(self, tables: Tables) -> Iterator[Wrong]:
        """What was made before an event that it covers; asked after the last leaf.

        A repair that explains it may still be staged.
        """
        if self._early:
            with contextlib.suppress(ProofError, Unavailable):  # also for `assent log check` to say
                for number, staged in enumerate(tables.staged(limit=BATCH)):
                    self.leaf(self._early[-1].size + number, parse_leaf(staged.leaf).event)
        for made in self._early:
            repaired = min(
                (time for index, time in self._repairs if index >= made.size), default=made.newest
            )
            right = min(made.newest, repaired)
            if made.created < right - _APART:
                apart = made.newest - made.created
                yield Wrong(
                    made.size, right, _said(apart, "earlier than the newest event that it covers")
                )


def wrong_times(tables: Tables, *, now: int) -> list[Wrong]:
    """All times beside checkpoints that cannot be right; what else may be wrong is not looked at.

    Reads the whole log.
    """
    times, found, place = Times(now=now), list[Wrong](), 0
    for stored in tables.checkpoints():
        for start in range(place, stored.size, CHUNK):
            for leaf in tables.filed(start, min(start + CHUNK, stored.size)):
                with contextlib.suppress(ProofError):  # which is for `assent log check` to say
                    times.leaf(leaf.index, parse_leaf(leaf.leaf).event)
        found += times.checkpoint(stored.size, stored.created)
        place = stored.size
    return [*found, *times.early(tables)]


def _said(seconds: int, than: str) -> str:
    return (
        f"its row says that it was made {seconds} seconds {than}: "
        "if the clock is right, run `assent log repair-clock`"
    )
