"""A log of a few checkpoints, made once for the tests of a file, and copied for each."""

from __future__ import annotations

import pytest

from tests.log.logs import BATCHES, SIGNER, memory_log
from tests.log.memory import MemoryStore


@pytest.fixture(scope="module")
def whole() -> MemoryStore:
    """The log, which no test changes."""
    return memory_log(SIGNER, BATCHES)


@pytest.fixture
def store(whole: MemoryStore) -> MemoryStore:
    """A copy of it."""
    copied = MemoryStore()
    copied.rows = whole.rows.copied()
    return copied
