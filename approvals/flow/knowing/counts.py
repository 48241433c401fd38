"""How often what was logged has happened, since this process began: for metrics.

An event is counted by the process that gave it its place in the log, once, when that has committed.
So the sum over processes counts each event once. No id, no name and no payload is kept: the type of
an event, and of a refusal its code.
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Final

import orjson

from approvals.core.history.events import ApprovalRefused, CallRefused

if TYPE_CHECKING:
    from collections.abc import Iterable

    from approvals.core.tlog.leaves import Staged

REFUSALS: Final = frozenset({CallRefused.TYPE, ApprovalRefused.TYPE})


class Counts:
    """The counts of one process. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events: Counter[tuple[str, str]] = Counter()

    def add(self, events: Iterable[Staged]) -> None:
        """Count events that got their places."""
        counted = Counter(_kind(each) for each in events)
        with self._lock:
            self._events.update(counted)

    def events(self) -> dict[tuple[str, str], int]:
        """How often each type of event happened, and of a refusal each code (else empty)."""
        with self._lock:
            return dict(self._events)


def _kind(event: Staged) -> tuple[str, str]:
    kind = str(orjson.loads(event.leaf)["type"])
    if kind not in REFUSALS:
        return kind, ""
    code = orjson.loads(event.opening).get("code", {}).get("value")
    return kind, code if isinstance(code, str) else ""
