"""The demo tells the whole story, to its end, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "CI": "1", "COLUMNS": "80", "TMPDIR": str(folder), "HOME": str(folder)}


@pytest.mark.slow
def test_the_story_goes_as_told(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "approvals.cli", "demo"],
        cwd=ROOT,
        env=environment(tmp_path),
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    for told in (
        "software passkeys play the people",
        "No agent transfers 50000 or more",
        "What Tomás reads on the page",
        "agent-approval+jwt",
        "[call_mismatch]",
        "[signature]",
        "[consumed]",
        "Our prices did not change",
        "The log is whole",
        "Everything went as told.",
    ):
        assert told in done.stdout, told
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_story_as_one_document(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "approvals.cli", "demo", "--json"],
        cwd=ROOT,
        env=environment(tmp_path),
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    story = json.loads(done.stdout)
    assert story["ok"] is True
    assert {step["chapter"] for step in story["steps"]} == set(range(1, 10))


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_story_leaves_nothing_behind(tmp_path: Path, ending: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "approvals.cli", "demo"],
        cwd=ROOT,
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        text=True,
    ) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if "The service runs at" in line:
                break
        (home,) = tmp_path.glob("assent-demo-*")
        serving = [pid for pid in _processes() if str(home) in _environment_of(pid)]
        assert serving
        demo.send_signal(ending)
        rest = demo.stdout.read()
    assert demo.returncode == 130
    assert "Interrupted" in rest
    assert list(tmp_path.iterdir()) == []
    assert not [pid for pid in serving if str(home) in _environment_of(pid)]


def _processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _environment_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
    except OSError:
        return ""
