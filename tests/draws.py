"""What random faults are drawn from: a seed that the run prints and takes back."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Draws:
    """How many faults a test injects, and the random numbers that say where."""

    seed: int
    complete: bool

    def of(self, test: str) -> random.Random:
        """The random numbers of one test: the same for the same seed."""
        return random.Random(f"{self.seed} {test}")  # noqa: S311 - where to inject, no secrets

    def count(self, *, sample: int, complete: int) -> int:
        """`sample` in the suite, `complete` for `make faults`."""
        return complete if self.complete else sample
