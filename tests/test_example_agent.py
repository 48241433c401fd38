"""The example company's agent works against a real service, as its own page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from examples.agent.software_person import SoftwarePerson
from examples.stage import Stage

ROOT = Path(__file__).parents[1]
AGENT = [sys.executable, "-u", "-m", "examples.agent"]


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ASSENT_")}
    return {**kept, **more}


def test_without_settings_it_says_which_is_missing() -> None:
    done = subprocess.run(  # noqa: S603 - our own program
        AGENT,
        cwd=ROOT,
        env=environment(FERNHILL_DATABASE=os.devnull),
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "ASSENT_URL: not set [configuration]" in done.stderr


@pytest.mark.slow
def test_a_morning_of_work() -> None:
    with Stage() as stage:
        made = stage.assent_json("keys", "enforcer", "--out", "enforcer.json")
        (enforcer,) = stage.prepare_bundle(made["public_jwk"])
        stage.assent("init", "--bundle", "bundle", "--by", "jonas")
        stage.start()
        people = [SoftwarePerson(name, origin=stage.url) for name in ("priya", "tomas")]
        for person in people:
            person.enrol(stage.assent_json("people", "invite", person.person)["url"])
        with subprocess.Popen(  # noqa: S603 - our own program
            AGENT,
            cwd=ROOT,
            env=environment(
                ASSENT_URL=stage.url,
                ASSENT_ENFORCER=enforcer,
                ASSENT_KEY_FILE=str(stage.root / "enforcer.json"),
                ASSENT_WAIT="1",
                FERNHILL_DATABASE=str(stage.root / "fernhill.db"),
            ),
            stdout=subprocess.PIPE,
            text=True,
        ) as agent:
            assert agent.stdout is not None
            lines = []
            for line in agent.stdout:
                lines.append(line)
                if found := re.search(r"waiting for people, (\S+)", line):
                    for person in people:
                        person.decide(found.group(1), "approve")
                    break
            rest = agent.stdout.read()
        for person in people:
            person.close()
    assert agent.returncode == 0, rest
    assert any("✓ look up customer 1" in line for line in lines)
    assert any("✓ note a new telephone number" in line for line in lines)
    assert "✓ pay for new paddles: 1" in rest
