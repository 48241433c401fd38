"""The workers that deliver notices: a few threads for each channel, each channel by itself.

A worker asks for what is due when a commit says that there is something, and once a second for what
was put off. A channel that hangs holds its own workers and nobody else's. Nothing depends on a
worker having run: what is undelivered stays in the outbox, for this process or another.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Final

from approvals.flow.loops import Loop
from approvals.flow.telling.deliver import deliver
from approvals.flow.telling.outbox import OUTBOX

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from approvals.flow.service import Service
    from approvals.flow.telling.deliver import Channel

WORKERS: Final = 3
IDLE_SECONDS: Final = 1.0
LEAVE_SECONDS: Final = 5.0


class Delivery:
    """The workers of one process."""

    def __init__(self, service: Service, channels: Sequence[Channel]) -> None:
        """Prepare; `start` begins."""
        self._service = service
        self._unlisten: Callable[[], None] | None = None
        self._loops = [
            self._worker(channel, number) for channel in channels for number in range(WORKERS)
        ]

    def start(self) -> None:
        """Begin to deliver."""
        if self._loops:
            self._unlisten = self._service.store.listen(self._heard)
        for loop in self._loops:
            loop.start()

    def stop(self) -> None:
        """End after the messages under way; what is left stays in the outbox."""
        if self._unlisten is not None:
            self._unlisten()
        for loop in self._loops:
            loop.stop(seconds=0)
        for loop in self._loops:
            loop.stop(seconds=LEAVE_SECONDS)

    def _heard(self, topic: str) -> None:
        if topic in {OUTBOX, ""}:
            for loop in self._loops:
                loop.ring()

    def _worker(self, channel: Channel, number: int) -> Loop:
        worker = f"{socket.gethostname()}-{os.getpid()}-{number}"

        def round_() -> bool:
            return bool(deliver(self._service, channel, worker=worker))

        return Loop(self._service.loops, f"{channel.name}-{number}", round_, every=IDLE_SECONDS)
