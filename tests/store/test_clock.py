"""The clock: never ahead of the database's, never far back, and never a reason not to read."""

from __future__ import annotations

import itertools
import json
import time
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from approvals.cli.application import run
from approvals.core.errors import Conflict, Unavailable
from approvals.core.history.events import ClockRepaired
from approvals.flow.integrity.rounds import sequence
from approvals.flow.operating.repair import repair_clock
from approvals.store import clock as clocks
from approvals.store import open_store
from approvals.store.clock import JUMP, SKEW, SLEW
from tests.seals import mac
from tests.service import start
from tests.store.test_batches import put

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from approvals.store import Store

DAY = 86_400


class Clocks:
    """The database's clock and the steady one, set by hand."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self.told = 1_800_000_000.0
        self.steady = 1_000.0
        monkeypatch.setattr(clocks, "steady", lambda: self.steady)
        monkeypatch.setattr(store._clock, "_local", True)
        monkeypatch.setattr(time, "time", lambda: self.told)

    def on(self, seconds: float, *, told: float | None = None) -> None:
        """Let time pass, and the clock say that another time has passed."""
        self.steady += seconds
        self.told += seconds if told is None else told


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    opened = open_store(database_url, mac=mac)
    yield opened
    opened.close()


def trouble(store: Store) -> str | None:
    return store.health.clock


def now(store: Store) -> int:
    with store.read() as tx:
        return tx.now


def test_a_jump_forward_is_refused_and_not_recorded_and_reading_goes_on(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    hands = Clocks(store, monkeypatch)
    put(store, 1)
    hands.on(10, told=DAY)
    with pytest.raises(Unavailable) as error:
        put(store, 2)
    assert error.value.code == "clock_ahead"
    assert trouble(store) == "clock_ahead"
    assert now(store) == 1_800_000_010
    hands.on(5, told=15 - DAY)  # somebody sets it right, and nothing else is needed
    put(store, 4)
    assert trouble(store) is None
    assert now(store) == 1_800_000_015


def test_as_much_as_a_clock_may_be_set_forward_is_taken(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    hands = Clocks(store, monkeypatch)
    put(store, 1)
    hands.on(1, told=1 + JUMP)
    put(store, 2)
    hands.on(3 * DAY)  # asleep, and the steady clock went on
    put(store, 4)


def test_the_steady_clock_of_a_system_without_boottime_counts_sleep_as_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Would catch macOS, where a laptop that wakes up would find its clock set forward."""
    asked: list[int] = []

    def gettime(clock: int) -> float:
        asked.append(clock)
        return 5.0

    monkeypatch.delattr(time, "CLOCK_BOOTTIME", raising=False)
    monkeypatch.setattr(time, "clock_gettime", gettime)
    assert clocks.steady() == 5.0
    assert asked == [time.CLOCK_MONOTONIC_RAW]


def refused(store: Store, numbers: Iterator[int]) -> str | None:
    """The code by which a write is refused now, if it is."""
    try:
        put(store, next(numbers))
    except Unavailable as error:
        return error.code
    return None


@pytest.mark.parametrize("step", [1, 7, JUMP - 1])
def test_a_clock_that_is_walked_forward_gains_no_more_than_one_jump(
    store: Store, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Steps that are each small enough are added up, however long there is between them."""
    hands = Clocks(store, monkeypatch)
    numbers = itertools.count(step=7)
    put(store, next(numbers))
    began, start = hands.told - hands.steady, hands.steady
    while (code := refused(store, numbers)) is None:
        assert hands.told - hands.steady - began <= JUMP + SLEW * (hands.steady - start)
        hands.on(600, told=600 + step)
    assert code == trouble(store) == "clock_ahead"
    gained = hands.told - hands.steady - began
    assert now(store) == pytest.approx(hands.told - step, abs=1)  # as it would be without the step
    hands.on(10)
    assert refused(store, numbers) == "clock_ahead"  # not only at the moment of the step
    hands.on(10, told=10 - gained)
    assert refused(store, numbers) is None
    assert trouble(store) is None


def test_a_clock_that_is_held_back_does_not_stop_time(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Set back a little again and again it would stand still, and nothing would ever expire."""
    hands = Clocks(store, monkeypatch)
    numbers = itertools.count(step=7)
    put(store, next(numbers))
    began = now(store)
    for _ in range(3):
        assert refused(store, numbers) is None
        hands.on(10, told=0)
    hands.on(10, told=0)
    assert refused(store, numbers) == "clock_backwards"
    assert now(store) >= began + 10  # reading goes on, and time with it
    hands.on(10, told=50)
    assert refused(store, numbers) is None
    assert now(store) == began + 50


def test_steps_that_take_each_other_back_count_for_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    hands = Clocks(store, monkeypatch)
    numbers = itertools.count(step=7)
    put(store, next(numbers))
    for _ in range(20):
        hands.on(40, told=40 + JUMP - 1)
        assert refused(store, numbers) is None
        hands.on(40, told=40 - JUMP + 1)
        assert refused(store, numbers) is None


@pytest.mark.parametrize("rate", [-0.9 * SLEW, 0.9 * SLEW])
def test_clocks_that_run_freely_may_part_for_as_long_as_the_process_runs(
    store: Store, monkeypatch: pytest.MonkeyPatch, rate: float
) -> None:
    hands = Clocks(store, monkeypatch)
    numbers = itertools.count(step=7)
    for _ in range(100):
        assert refused(store, numbers) is None
        hands.on(DAY / 10, told=DAY / 10 * (1 + rate))


def test_time_never_runs_backwards_and_stands_still_for_the_skew(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    hands = Clocks(store, monkeypatch)
    before = now(store)
    hands.on(1, told=1 - SKEW)
    put(store, 1)
    assert now(store) == before
    hands.on(1, told=-2)
    with pytest.raises(Unavailable) as error:
        put(store, 2)
    assert error.value.code == "clock_backwards"
    assert "repair-clock" in error.value.message
    assert now(store) >= before


def test_a_slow_answer_makes_time_late_and_never_early(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(postgres_url, mac=mac)
    steady = 1_000.0

    def stepping() -> float:
        nonlocal steady
        steady += 3.0  # three seconds pass between any two looks at the steady clock
        return steady

    monkeypatch.setattr(clocks, "steady", stepping)
    for _ in range(4):
        with store.begin() as tx:
            true = tx.session.execute(text("SELECT extract(epoch FROM clock_timestamp())"))
            assert tx.now <= float(true.scalar_one())
    assert store._clock._sampled is None  # and it is not carried on for others
    store.close()


def test_what_a_clock_that_was_ahead_recorded_is_repaired_and_logged(
    tmp_path: Path,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    running = start(tmp_path, database_url, people=())
    sequence(running.service)
    store = running.service.store
    with pytest.raises(Conflict) as nothing:
        repair_clock(running.service, reason="none")
    assert nothing.value.code == "clock_right"
    with store.begin() as tx:
        tx.session.execute(text("UPDATE checkpoint SET created = created + 86400"))
    store.close()

    monkeypatch.setenv("ASSENT_HOME", str(running.service.settings.home))
    monkeypatch.setenv("ASSENT_DATABASE", database_url)
    assert run(["log", "check", "--json"]) == 1  # reading is not refused, and says what is wrong
    (wrong,) = json.loads(capsys.readouterr().out)["findings"]
    assert wrong["code"] == "checkpoint_time"
    assert "repair-clock" in wrong["message"]
    reopened = open_store(database_url, mac=running.service.keys.seal)
    with pytest.raises(Unavailable) as error:
        put(reopened, 1)
    assert error.value.code == "clock_backwards"
    reopened.close()

    assert run(["log", "repair-clock", "--reason", "NTP was off", "--json"]) == 0
    assert run(["log", "check", "--json"]) == 0
    again = open_store(database_url, mac=running.service.keys.seal)
    with again.begin() as tx:  # one that is behind would hide that the clock was set back
        tx.session.execute(text("UPDATE checkpoint SET created = created - 86400"))
    assert run(["log", "check", "--json"]) == 1
    assert run(["log", "repair-clock", "--reason", "somebody changed it", "--json"]) == 0
    assert run(["log", "check", "--json"]) == 0
    put(again, 1)
    with again.read() as tx:
        assert ClockRepaired.TYPE.encode() in b"".join(
            staged.leaf for staged in tx.log.staged(limit=100)
        )
    again.close()
