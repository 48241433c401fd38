"""What is done again and again in the background, and nothing that anything depends on.

Every job is idempotent, safe in any number of processes at once, and may be late or never run:
whatever it records is a condition elsewhere already. A job holds no logic; it calls the room that
does. A job that fails is logged without payload and runs again at its next time.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

import structlog
from apscheduler.schedulers.background import BackgroundScheduler

from approvals.core.errors import AssentError
from approvals.flow.expire import expire
from approvals.flow.follow import digest, follow
from approvals.flow.rounds import sequence

if TYPE_CHECKING:
    from collections.abc import Callable

    from approvals.flow.service import Service

EXPIRE_SECONDS: Final = 2
FOLLOW_SECONDS: Final = 5
DIGEST_SECONDS: Final = 60
KEYS_SECONDS: Final = 5

_log = structlog.get_logger(__name__)


class Jobs:
    """The background work of one process."""

    def __init__(self, service: Service) -> None:
        """Prepare; `start` begins."""
        self._service = service
        self._stopping = threading.Event()
        # The log is sequenced several times a second: a scheduler that looks for due jobs would be
        # most of the work, so this one job has a thread that sleeps.
        self._sequencer = threading.Thread(target=self._sequence, name="assent-log", daemon=True)
        self._scheduler = BackgroundScheduler(
            timezone="UTC",
            job_defaults={
                # The default drops what is a second late, and a busy machine is often that.
                "misfire_grace_time": None,
                "coalesce": True,
                "max_instances": 1,
            },
        )

    def start(self) -> None:
        """Begin."""
        self._every(EXPIRE_SECONDS, "expire", lambda: expire(self._service))
        self._every(FOLLOW_SECONDS, "follow", lambda: follow(self._service))
        self._every(DIGEST_SECONDS, "digest", lambda: digest(self._service))
        self._every(KEYS_SECONDS, "keys", self._service.keys.reload_if_changed)
        self._scheduler.start()
        self._sequencer.start()

    def stop(self) -> None:
        """End after what is running, and give what is still in line its place in the log."""
        self._stopping.set()
        if self._scheduler.running:
            self._scheduler.shutdown(wait=True)
        if self._sequencer.is_alive():
            self._sequencer.join()

    def _every(self, seconds: int, name: str, work: Callable[[], object]) -> None:
        self._scheduler.add_job(lambda: _attempt(name, work), "interval", seconds=seconds, id=name)

    def _sequence(self) -> None:
        while not self._stopping.wait(self._service.settings.log_interval):
            _attempt("log", self._sequence_all)
        _attempt("log", self._sequence_all)

    def _sequence_all(self) -> None:
        sequence(self._service)


def _attempt(name: str, work: Callable[[], object]) -> None:
    """Do one round of a job; what is known to fail is logged, and tried again next time."""
    try:
        work()
    except AssentError as error:
        _log.error("job_failed", job=name, code=error.code)
    except Exception as error:  # noqa: BLE001 - a bug in one round must not end the rounds
        _log.error("job_broken", job=name, error=type(error).__name__)
