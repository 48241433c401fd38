"""How long a transaction may take: one deadline for the pool, for locks and for statements.

What holds: a transaction that writes ends with an answer or an error within `SECONDS` and a short
`GRACE`, and so does each statement of one that only reads. That includes waiting for a lock of
another process, for a full pool, for a stopped server, and for a network that drops packets.
Callers give up after 20 seconds, so they learn the reason before that.
"""

from __future__ import annotations

import contextlib
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS: Final = 12.0
"""For a transaction that writes, from its beginning to its commit; for a statement that reads."""

GRACE: Final = 2.0
"""For a rollback or commit that begins when the time is over."""

GLANCE_SECONDS: Final = 3.0
"""For what must be answered while the rest is stuck: probes, keys, the public log."""

IDLE_SECONDS: Final = 30.0
"""After which PostgreSQL ends a transaction whose process does not go on."""

_ends: ContextVar[float | None] = ContextVar("ends", default=None)


@contextlib.contextmanager
def within(seconds: float | None) -> Iterator[None]:
    """Let what asks the database in this block take `seconds` in all; None is no limit."""
    token = _ends.set(None if seconds is None else time.monotonic() + seconds)
    try:
        yield
    finally:
        _ends.reset(token)


def left() -> float | None:
    """Seconds until the deadline of this block, below zero when it is over; None without one."""
    ends = _ends.get()
    return None if ends is None else ends - time.monotonic()
