"""The workers that deliver notices: a few threads for each channel, each channel by itself.

A worker asks for what is due when a commit says that there is something, and once a second for what
was put off. A channel that hangs holds its own workers and nobody else's. Nothing depends on a
worker having run: what is undelivered stays in the outbox, for this process or another.
"""

from __future__ import annotations

import os
import socket
import threading
from typing import TYPE_CHECKING, Final

import structlog

from approvals.core.errors import AssentError
from approvals.flow.deliver import deliver
from approvals.flow.outbox import OUTBOX

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from approvals.flow.deliver import Channel
    from approvals.flow.service import Service

WORKERS: Final = 3
IDLE_SECONDS: Final = 1.0
LEAVE_SECONDS: Final = 5.0

_log = structlog.get_logger(__name__)


class Delivery:
    """The workers of one process."""

    def __init__(self, service: Service, channels: Sequence[Channel]) -> None:
        """Prepare; `start` begins."""
        self._service = service
        self._stopping = threading.Event()
        self._bells: list[threading.Event] = []
        self._threads: list[threading.Thread] = []
        self._unlisten: Callable[[], None] | None = None
        name = f"{socket.gethostname()}-{os.getpid()}"
        for channel in channels:
            for number in range(WORKERS):
                bell = threading.Event()
                self._bells.append(bell)
                self._threads.append(
                    threading.Thread(
                        target=self._work,
                        args=(channel, f"{name}-{number}", bell),
                        name=f"assent-{channel.name}-{number}",
                        daemon=True,
                    )
                )

    def start(self) -> None:
        """Begin to deliver."""
        if self._threads:
            self._unlisten = self._service.store.listen(self._heard)
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End after the messages under way; what is left stays in the outbox."""
        self._stopping.set()
        for bell in self._bells:
            bell.set()
        if self._unlisten is not None:
            self._unlisten()
        for thread in self._threads:
            thread.join(timeout=LEAVE_SECONDS)

    def _heard(self, topic: str) -> None:
        if topic in {OUTBOX, ""}:
            for bell in self._bells:
                bell.set()

    def _work(self, channel: Channel, worker: str, bell: threading.Event) -> None:
        while not self._stopping.is_set():
            bell.clear()
            try:
                taken = deliver(self._service, channel, worker=worker)
            except AssentError as error:
                _log.error("delivery_failed", channel=channel.name, code=error.code)
                taken = 0
            except Exception as error:  # noqa: BLE001 - a bug in one message must not end the rest
                _log.error("delivery_broken", channel=channel.name, error=type(error).__name__)
                taken = 0
            if not taken:
                bell.wait(IDLE_SECONDS)
