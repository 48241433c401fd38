"""Waiting for progress and not for the clock, so that tests mean the same on a slow machine.

Nothing here has a deadline of its own: the runner's timeout ends a test that makes no progress.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

LOOK_EVERY = 0.005

PATIENCE = 600
"""Seconds, for what takes a limit of its own: only a hang takes as long, on any machine."""

Found = TypeVar("Found")


def until(look: Callable[[], Found | None]) -> Found:
    """Look until there is something true to see, and return it."""
    while not (found := look()):
        time.sleep(LOOK_EVERY)
    return found


class Tally:
    """Counts what other threads have done, and lets one thread wait for the next so many of it."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._changed = threading.Condition()
        self._failure: BaseException | None = None

    def add(self, name: str) -> None:
        """One more of `name` was done."""
        with self._changed:
            self._counts[name] += 1
            self._changed.notify_all()

    def count(self, name: str) -> int:
        """How many of `name` were done."""
        with self._changed:
            return self._counts[name]

    def fail(self, failure: BaseException) -> None:
        """A thread that should have made progress has ended; whoever waits raises its failure."""
        with self._changed:
            self._failure = self._failure or failure
            self._changed.notify_all()

    def wait_for(self, name: str, more: int) -> None:
        """Wait until `name` was done `more` times from now on."""
        self.wait_until(name, self.count(name) + more)

    def wait_until(self, name: str, count: int) -> None:
        """Wait until `name` was done `count` times in all."""
        with self._changed:
            self._changed.wait_for(lambda: self._failure is not None or self._counts[name] >= count)
        self.raise_failure()

    def raise_failure(self) -> None:
        """Raise what a thread failed with, if one did."""
        if self._failure is not None:
            raise self._failure
