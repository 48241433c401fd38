"""Receives the announcements of other processes: LISTEN on a PostgreSQL connection of its own.

A dead connection raises no error: notifications just stop, and callers would wait until their
timeout. So the thread notifies itself every few seconds, and reconnects when that does not arrive.

What holds: the thread ends only when it is told to. After each gap every listener is called, since
announcements may have been lost.
"""

from __future__ import annotations

import random
import secrets
import threading
import time
from typing import TYPE_CHECKING, Final

import psycopg
import structlog

from approvals.store import deadline, postgres
from approvals.store.faults import fault_of
from approvals.store.outcome import CHANNEL

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import URL

BEAT_SECONDS: Final = 3.0
"""Between two heartbeats."""

DEAF_SECONDS: Final = 9.0
"""Without a heartbeat: the connection is dead, or a pooler drops LISTEN."""

_CONNECT_SECONDS: Final = 5.0
_PAUSES: Final = (0.2, 0.5, 1.0, 2.0)
_log = structlog.get_logger(__name__)


class Ear:
    """The listening thread of one process."""

    def __init__(
        self, url: URL, tell: Callable[[str], None], *, deaf_after: float = DEAF_SECONDS
    ) -> None:
        self._url = url
        self._tell = tell
        self._deaf_after = deaf_after
        self._beat = min(BEAT_SECONDS, deaf_after / 3)
        # A channel that nobody else hears: each process has its own heartbeat.
        self._own = f"{CHANNEL}_{secrets.token_hex(8)}"
        self._closing = threading.Event()
        self.hearing = threading.Event()
        self._heard_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="assent-listen", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """Listen no more."""
        self._closing.set()
        self._thread.join(timeout=5)

    @property
    def alive(self) -> bool:
        """Whether it hears: connected, and its own word was heard within the time for it."""
        return self.hearing.is_set() and self.silence < self._deaf_after

    @property
    def silence(self) -> float:
        """Seconds since it heard itself, or began to try."""
        return time.monotonic() - self._heard_at

    def _run(self) -> None:
        failures = 0
        while not self._closing.is_set():
            began = time.monotonic()
            try:
                self._listen()
            except Exception as error:  # noqa: BLE001 - the last wall of the thread: without it nobody hears
                fault = fault_of(error)
                _log.warning(
                    "listen_interrupted",
                    error=type(error).__name__,
                    fault=None if fault is None else fault.name,
                )
            self.hearing.clear()
            failures = 0 if time.monotonic() - began > self._deaf_after else failures + 1
            pause = _PAUSES[min(failures, len(_PAUSES) - 1)]
            self._closing.wait(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads replicas

    def _listen(self) -> None:
        with postgres.dial(self._url, seconds=_CONNECT_SECONDS) as connection:
            with deadline.within(_CONNECT_SECONDS):
                connection.execute(f"LISTEN {CHANNEL}")
                connection.execute(f"LISTEN {self._own}")
            self._heard_at = time.monotonic()
            self.hearing.set()
            self._tell("")
            spoken = 0.0
            while not self._closing.is_set():
                if time.monotonic() - spoken >= self._beat:
                    spoken = time.monotonic()
                    with deadline.within(self._deaf_after):
                        connection.execute(f"NOTIFY {self._own}")
                for notice in connection.notifies(timeout=min(1.0, self._beat)):
                    if notice.channel == self._own:
                        self._heard_at = time.monotonic()
                    else:
                        self._tell(notice.payload)
                if self.silence >= self._deaf_after:
                    raise psycopg.OperationalError("deaf")
