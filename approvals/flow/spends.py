"""Which approvals this process has spent, beside what the database says.

Whoever can write to the database can put an approval, its chain and everything else of its subject
back to before it was spent, and file the event of the spending elsewhere. What is left in the
database then agrees with itself, and only `log check` finds it. A process that spent the approval
still knows, and refuses to spend it again.

What holds: an approval is known here only once its spending has committed, so that nothing is
refused that was not spent. At most `KEPT` are known, the latest. An approval lives for minutes.
"""

from __future__ import annotations

import threading
from typing import Final

KEPT: Final = 100_000


class Spends:
    """The latest approvals that a process has spent. Safe to share between threads."""

    def __init__(self) -> None:
        """Know of none."""
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], None] = {}

    def add(self, *, tenant: str, jti: str) -> None:
        """Know that this approval was spent: its transaction has committed."""
        with self._lock:
            self._known[tenant, jti] = None
            if len(self._known) > KEPT:
                del self._known[next(iter(self._known))]

    def has(self, *, tenant: str, jti: str) -> bool:
        """Whether this process spent it."""
        return (tenant, jti) in self._known
