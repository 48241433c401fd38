"""Whether this process can grant now, which it finds out by a trial transaction.

What holds:
1. Ready means that a transaction in which something is granted would commit: one is tried, with the
   gate's conditions, a key to sign with, and a write. It is tried at most once a second.
2. The answer comes within `PATIENCE`, whatever hangs. The trial has a thread of its own; while that
   one is stuck the answer says so, and no second one is begun.
3. The background is reported with it. A loop that granting needs and that has not ended a round
   well for long makes the process not ready; delivery does not, since nothing is granted by it.
4. So does a listener that hears nothing, since callers would wait to the end of their time.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from approvals.core.errors import AssentError
from approvals.flow.integrity.gate import REMEDIES, closed

if TYPE_CHECKING:
    from approvals.flow.service import Service

PATIENCE: Final = 1.5
FRESH: Final = 1.0
NEEDED: Final = frozenset({"expire", "keys", "log"})
"""Loops without which a process does not stay able to grant; the others only tell people."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that granting needs: whether it is fine, its age in seconds, and what is wrong."""

    ok: bool
    age: float | None = None
    code: str | None = None
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class _Trial:
    ended: float
    code: str | None


class Readiness:
    """Finds out whether one process is ready. For one event loop."""

    def __init__(self, service: Service, *, patience: float = PATIENCE) -> None:
        """Prepare; nothing is tried before somebody asks."""
        self._service = service
        self._patience = patience
        self._last: _Trial | None = None
        self._trying: asyncio.Future[None] | None = None
        self._begun = 0.0

    async def checks(self) -> dict[str, Check]:
        """Each thing that granting needs, by name."""
        if self._last is None or time.monotonic() - self._last.ended > FRESH:
            await self._tried()
        return {"granting": self._granting(), **self._loops(), **self._database()}

    async def _tried(self) -> None:
        """Wait for a trial, begun now unless one is under way, but not longer than `patience`."""
        if self._trying is None or self._trying.done():
            loop = asyncio.get_running_loop()
            self._trying = done = loop.create_future()
            self._begun = time.monotonic()

            def ended() -> None:
                if not done.done():
                    done.set_result(None)

            def work() -> None:
                self._last = _Trial(time.monotonic(), self._trial())
                with contextlib.suppress(RuntimeError):  # the service has stopped: nobody waits
                    loop.call_soon_threadsafe(ended)

            # Not one of the threads that requests share: those may all be stuck.
            threading.Thread(target=work, name="assent-ready", daemon=True).start()
        await asyncio.wait({self._trying}, timeout=self._patience)

    def _trial(self) -> str | None:
        """The code of what stands against granting now; None: nothing."""
        try:
            with self._service.store.begin() as tx:
                found = closed(self._service, tx)
                if found is not None:
                    return found.code
                self._service.signer(tx)
                tx.standing.probe(now=tx.now)
        except AssentError as error:
            return error.code
        except Exception as error:  # noqa: BLE001 - whatever it is, it stands against granting
            _log.error("not_ready", error=type(error).__name__)
            return "unexpected"
        return None

    def _granting(self) -> Check:
        now = time.monotonic()
        if self._trying is not None and not self._trying.done():
            return Check(ok=False, age=round(now - self._begun, 1), code="no_answer")
        last = self._last
        if last is None:
            return Check(ok=False, code="no_answer")
        return Check(
            ok=last.code is None,
            age=round(now - last.ended, 1),
            code=last.code,
            remedy=REMEDIES.get(last.code or ""),
        )

    def _loops(self) -> dict[str, Check]:
        return {
            f"loop {state.name}": Check(
                ok=not (state.late and state.name in NEEDED),
                age=round(state.age, 1),
                code=state.error,
            )
            for state in self._service.loops.states()
        }

    def _database(self) -> dict[str, Check]:
        """What the store has seen in passing."""
        health = self._service.store.health
        silence = None if health.silence is None else round(health.silence, 1)
        return {
            "listener": Check(
                ok=health.listening,
                age=silence,
                code=None if health.listening else "not_listening",
                remedy=None
                if health.listening
                else "LISTEN needs a connection of its own to PostgreSQL, not one of a pooler that "
                "shares them between transactions",
            ),
            "clock": Check(ok=health.clock is None, code=health.clock),
            "last commit": Check(
                ok=True,
                age=None if health.committed is None else round(health.committed, 1),
                code=health.fault,
            ),
        }
