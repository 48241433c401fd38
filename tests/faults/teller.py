"""Tells the story, each time in a process of its own whose writes fail as it is told.

Reads a line of JSON for each: a fault and whether it meets the beginning or what goes on. Imports
once and forks. A second process, without faults, then looks at what is left.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
import traceback
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from approvals.flow.integrity.introduce import introduce
from approvals.flow.operating.restore import checked
from approvals.logs import configure_logs
from tests.company import new_key
from tests.faults.hands import Hands
from tests.faults.shim import Control, Fault
from tests.faults.story import Story, all_sequenced, lost, opened
from tests.service import Running

if TYPE_CHECKING:
    from collections.abc import Callable


def main() -> None:
    control = Control(Path(os.environ["FAULT_CONTROL"]))
    homes = Path(os.environ["FAULT_DIR"])
    configure_logs()
    running = Running(None, new_key())  # type: ignore[arg-type]  # opened by the story
    first = Story(homes / "template", running, _Still())  # type: ignore[arg-type]
    first.begin()
    assert not first.broken, first.broken
    for line in sys.stdin:
        asked = json.loads(line)
        home = homes / "home"
        shutil.rmtree(home, ignore_errors=True)
        if asked["stage"] == "go on":
            shutil.copytree(homes / "template", home)
        control.set(Fault(**asked["fault"]) if asked["fault"] else None)
        result = _apart(partial(_tell, home, asked["stage"], running, control))
        control.arm(on=False)
        met = control.met
        if "crash" not in result:
            result["left"] = _apart(partial(_look, home, running, result))
        result["met"] = [met.count, met.fired, met.call, met.path.removeprefix(str(home))]
        print(json.dumps(result), flush=True)  # noqa: T201 - its output is its protocol


class _Still:
    passed = wrong = 0.0


def _tell(home: Path, stage: str, running: Running, control: Control) -> dict[str, Any]:
    story = Story(home, running, Hands())
    control.arm(on=True)
    (story.begin if stage == "begin" else story.go_on)()
    control.arm(on=False)
    return {
        "told": story.told,
        "failures": story.failures,
        "broken": story.broken,
        "passed": story.hands.passed,
    }


def _look(home: Path, running: Running, result: dict[str, Any]) -> dict[str, Any]:
    """What a fresh process, without faults, finds wrong; it goes on with the service as well."""
    hands = Hands(result["passed"] + 1)
    wrong: list[str] = []
    service = running.service = opened(home)
    introduce(service)
    all_sequenced(service)
    kept = result["told"].get("checkpoint")
    wrong += _findings(running, [kept] if kept else [])
    wrong += [f"lost: {name}" for name in lost(service, result["told"])]
    folder = home / "keys"
    wrong += [f"left behind: {file.name}" for file in folder.iterdir() if _is_stray(file.name)]
    running.sessions.clear()
    for person in ("ada", "ben"):
        running.enrol(person, replaces=True, seed=f"{person} {time.time_ns()}")
    afterwards = Story(home, running, hands)
    request = afterwards.ask("late")
    for person in ("ada", "ben"):
        afterwards.vote(person, request)
    afterwards.spend(request)
    afterwards.sequence()
    wrong += afterwards.broken + [f"afterwards: {name}" for name, _ in afterwards.failures]
    wrong += _findings(running, [kept] if kept else [])
    service.store.close()
    return {"wrong": wrong}


def _is_stray(name: str) -> bool:
    return name.startswith((".making-", ".keys-"))


def _findings(running: Running, remembered: list[str]) -> list[str]:
    report = checked(running.service, remembered=remembered)
    return [f"log check: {found}" for found in report.findings] + ["log check"] * (not report.ok)


def _apart(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Do it in a child process; gives what it returned, or how it ended."""
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receive)
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        try:
            result = work()
        except BaseException:  # noqa: BLE001 - told to the test
            result = {"crash": traceback.format_exc()}
        with os.fdopen(send, "wb") as answer:
            answer.write(json.dumps(result).encode())
        os._exit(0)
    os.close(send)
    with os.fdopen(receive, "rb") as answer:
        said = answer.read()
    _, ended = os.waitpid(child, 0)
    return dict(json.loads(said)) if said else {"crash": f"ended with {ended}"}


if __name__ == "__main__":
    main()
