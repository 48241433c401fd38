"""Every write of a whole story fails in turn, in each of the ways in which disks fail.

What holds after each: nothing acknowledged is lost, nothing is granted that the log does not tell
of, every failure is a declared error, what is called undone is undone, the service goes on (in the
same process or in a fresh one), and `assent log check` finds nothing.
"""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.counts import note
from tests.faults.shim import Fault, built
from tests.progress import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.draws import Draws

WAYS = (
    ("an I/O error, once", {"error": errno.EIO}),
    ("the disk is full for eight writes", {"error": errno.ENOSPC, "span": 8}),
    ("half is written, then the disk is full", {"error": errno.ENOSPC, "span": 2, "torn": True}),
)
STAGES = ("begin", "go on")
SAMPLE = 6


class Teller:
    """The process that tells the story as often as it is asked."""

    def __init__(self, folder: Path) -> None:
        environment = built(folder)
        Path(environment["FAULT_DIR"]).mkdir()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.teller"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=Path(__file__).parents[2],
        )

    def tell(self, stage: str, fault: Fault | None) -> dict[str, Any]:
        sender, receiver = self._process.stdin, self._process.stdout
        assert sender is not None
        assert receiver is not None
        asked = {"stage": stage, "fault": None if fault is None else asdict(fault)}
        sender.write(json.dumps(asked) + "\n")
        sender.flush()
        line = receiver.readline()
        assert line, "the teller has ended"
        return dict(json.loads(line))

    def close(self) -> None:
        self._process.communicate(timeout=PATIENCE)


@pytest.fixture(scope="module")
def teller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Teller]:
    started = Teller(tmp_path_factory.mktemp("faults"))
    yield started
    started.close()


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_a_write_that_fails_loses_nothing_and_stops_nothing(
    stage: str, teller: Teller, draws: Draws
) -> None:
    calm = teller.tell(stage, None)
    assert not _wrong(calm), calm
    assert {code for step, code in calm["failures"] if step not in ("late", "sequence ahead")} == (
        set()
    )
    writes = calm["met"][0]
    assert writes > 50
    sites = [(first, way) for first in range(1, writes + 1) for way in range(len(WAYS))]
    drawn = draws.of(f"writes of {stage}").sample(
        sites, k=draws.count(sample=SAMPLE, complete=len(sites))
    )
    fired, calls, codes, wrong = 0, Counter[str](), Counter[str](), []
    for first, way in drawn:
        fault = Fault(first=first, **WAYS[way][1])  # type: ignore[arg-type]
        told = teller.tell(stage, fault)
        fired += told["met"][1] > 0
        note("write", stage=stage, way=way, first=first, met=told["met"])
        calls[told["met"][2]] += 1
        codes.update(code for _, code in told.get("failures", ()))
        if found := _wrong(told):
            wrong.append((fault, WAYS[way][0], told["met"][2:], found, told.get("failures")))
            note("writes found wrong", stage=stage, **asdict(fault), found=found)
    note("writes", stage=stage, writes=writes, runs=len(drawn), fired=fired, wrong=len(wrong))
    note("calls and codes", stage=stage, calls=dict(calls), codes=dict(codes))
    assert not wrong, wrong
    assert fired > 0


def _wrong(told: dict[str, Any]) -> list[str]:
    """What should not have happened."""
    if "crash" in told:
        return [told["crash"]]
    left = told["left"]
    return [*told["broken"], *left.get("wrong", ()), *([left["crash"]] if "crash" in left else [])]
