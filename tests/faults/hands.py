"""A clock that a test sets: what it tells, and the steady one beside it."""

from __future__ import annotations

import time

from approvals.store import clock as clocks

DAY = 86_400


class Hands:
    """The clocks of this process, moved from where they are."""

    def __init__(self, passed: float = 0.0) -> None:
        self.passed = passed
        self.wrong = 0.0
        told, steady = time.time, clocks.steady
        time.time = lambda: told() + self.passed + self.wrong
        clocks.steady = lambda: steady() + self.passed
