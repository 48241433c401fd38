"""Requests to the service that are still to be made when their caller no longer waits.

A cancelled task or an interrupted thread returns at once. A thread of the guard then withdraws its
request or reports its outcome. The thread exists only while there is such work, and the process
ends only after it.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger("approvals.guard")


class Aftermath:
    """The work that is left, and the thread that does it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left: deque[tuple[str, Callable[[], object]]] = deque()
        self._works = False
        self._thread: threading.Thread | None = None

    def leave(self, what: str, act: Callable[[], object]) -> None:
        """Have `act` done by the guard's thread; `what` names it in the log where it fails."""
        with self._lock:
            self._left.append((what, act))
            if self._works:
                return
            self._works = True
        self._thread = threading.Thread(target=self._work, name="approvals-guard-aftermath")
        try:
            self._thread.start()
        except RuntimeError as error:  # the interpreter is shutting down
            self._works = False
            _log.warning("%s was not done: %s", what, error)

    def finish(self) -> None:
        """Return once everything that was left has been done."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._left:
                    self._works = False
                    return
                what, act = self._left.popleft()
            try:
                act()
            except Exception as error:  # noqa: BLE001 - the last wall: one failure must not end the others
                _log.warning("%s failed: %s", what, error)


aftermath = Aftermath()


def _in_a_child() -> None:
    # The parent's thread and whoever held its lock stayed there, and so did what is left to tell.
    aftermath.__init__()  # type: ignore[misc]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_a_child)
