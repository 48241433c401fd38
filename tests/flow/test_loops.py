"""Background work goes on whatever a round raises, and how it is can be seen in one place."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from approvals.core.errors import Unavailable
from approvals.flow import loops as module
from approvals.flow.loops import Loop, Loops
from tests.progress import until

ENFORCERS = {"guard", "client"}
"""Not of the service: these run in somebody else's process."""


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (Unavailable("away"), "unavailable"),
        (OSError(24, "Too many open files"), "OSError"),
        (RuntimeError("can't start new thread"), "RuntimeError"),
        (MemoryError(), "MemoryError"),
        (RecursionError(), "RecursionError"),
    ],
)
def test_a_loop_goes_on_whatever_a_round_raises(raised: Exception, code: str) -> None:
    loops = Loops()
    failing = [raised, raised]
    seen: list[str | None] = []

    def work() -> None:
        (state,) = loops.states()
        seen.append(state.error)
        if failing:
            raise failing.pop()

    loop = Loop(loops, "one", work, every=0.001)
    loop.start()
    until(lambda: len(seen) > 4)
    (state,) = loops.states()
    loop.stop()
    assert seen[1:3] == [code, code]
    assert seen[4] is None
    assert state.failures == 2
    assert loops.states() == []


def test_a_round_that_found_work_is_followed_by_the_next_at_once() -> None:
    rounds: list[int] = []

    def work() -> bool:
        rounds.append(len(rounds))
        return len(rounds) < 5

    loop = Loop(Loops(), "one", work, every=3600)
    loop.start()
    until(lambda: len(rounds) == 5)
    loop.ring()
    until(lambda: len(rounds) == 6)
    loop.stop()


def test_a_loop_that_hangs_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LATE_SECONDS", 0.01)
    loops = Loops()
    hang = threading.Event()
    loop = Loop(loops, "one", hang.wait, every=0.001)
    loop.start()
    until(lambda: any(state.late for state in loops.states()))
    hang.set()
    loop.stop()


def test_every_thread_of_the_service_that_repeats_something_is_such_a_loop() -> None:
    """A further one has to come past this list, and be given a catch-all of its own."""
    root = Path(__file__).parents[2]
    found = {
        str(path.relative_to(root))
        for folder in ("approvals", "web", "integrations")
        for path in (root / folder).rglob("*.py")
        if "Thread(" in path.read_text("utf-8") and path.parent.name not in ENFORCERS
    }
    assert found <= {
        "approvals/api/readiness.py",  # one trial, no loop
        "approvals/flow/loops.py",
        "approvals/store/ear.py",
        "integrations/slack/socket.py",
    }
