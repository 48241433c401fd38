"""What is done again and again in the background, and nothing that anything depends on.

Every job is idempotent, safe in any number of processes at once, and may be late or never run:
whatever it records is a condition elsewhere already. A job holds no logic; it calls the room that
does. Each has a thread of its own, so none waits for another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from approvals.flow.asking.expire import expire
from approvals.flow.integrity.introduce import keep_introduced
from approvals.flow.integrity.rounds import sequence, sweep
from approvals.flow.loops import Loop, attempt
from approvals.flow.telling.follow import Digests, follow

if TYPE_CHECKING:
    from collections.abc import Callable

    from approvals.flow.service import Service

EXPIRE_SECONDS: Final = 2
FOLLOW_SECONDS: Final = 5
DIGEST_SECONDS: Final = 60
KEYS_SECONDS: Final = 5
SWEEP_SECONDS: Final = 5
SEQUENCER: Final = "log"


class Jobs:
    """The background work of one process."""

    def __init__(self, service: Service) -> None:
        """Prepare; `start` begins."""
        self._service = service
        jobs: list[tuple[str, float, Callable[[Service], object]]] = [
            ("expire", EXPIRE_SECONDS, expire),
            ("follow", FOLLOW_SECONDS, follow),
            ("digest", DIGEST_SECONDS, Digests().put),
            ("keys", KEYS_SECONDS, keep_introduced),
            ("sweep", SWEEP_SECONDS, sweep),
            (SEQUENCER, service.settings.log_interval, sequence),
        ]
        self._loops = [self._loop(*job) for job in jobs]

    def start(self) -> None:
        """Begin."""
        for loop in self._loops:
            loop.start()

    def stop(self) -> None:
        """End after what is running, and give what is still in line its place in the log."""
        begun = [loop for loop in self._loops if loop.is_alive()]
        for loop in begun:
            loop.stop()
        if begun:
            attempt(self._service.loops, SEQUENCER, lambda: sequence(self._service))

    def _loop(self, name: str, every: float, work: Callable[[Service], object]) -> Loop:
        def round_() -> None:
            work(self._service)

        return Loop(self._service.loops, name, round_, every=every)
