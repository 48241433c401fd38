"""The demo tells the whole story, to its end, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from examples.agent.software_person import SoftwarePerson
from tests.progress import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

ATTENDING = {"CI", "DISPLAY", "WAYLAND_DISPLAY"}  # no browser with a window, no CI
ROOT = Path(__file__).parents[1]
DEMO = [sys.executable, "-m", "approvals.cli", "demo", "--pace", "0"]


def environment(folder: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ATTENDING}
    return {**kept, "COLUMNS": "80", "TMPDIR": str(folder), "HOME": str(folder), **more}


@pytest.mark.slow
def test_the_story_goes_as_told(tmp_path: Path) -> None:
    done = subprocess.run(  # noqa: S603 - our own program
        [*DEMO, "--json"],
        cwd=ROOT,
        env=environment(tmp_path, CI="1"),
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    story = done.stderr
    assert done.returncode == 0, done.stdout + story
    assert max(map(len, story.splitlines())) <= 80
    said = " ".join(story.split())  # wherever a line ended
    for told in (
        "software passkeys play the people",
        "No agent transfers 50000 or more",
        "Slack itself cannot be reached from a demo",
        "Subject: Approval asked: Transfer money",
        "within Slack's limits",
        "Neither holds the account number",
        "What Tomás reads on the page",
        "the buttons are gone",
        "Approved by Tomás Lindqvist, Priya Raman",
        "In-Reply-To: <ntc_",
        "agent-approval+jwt",
        "[call_mismatch]",
        "[signature]",
        "[consumed]",
        "Our prices did not change",
        "The log is whole",
        "Everything went as told.",
    ):
        assert told in said, told
    document = json.loads(done.stdout)
    assert document["ok"] is True
    assert {step["chapter"] for step in document["steps"]} == set(range(1, 12))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_person_at_the_keyboard_takes_part(tmp_path: Path) -> None:
    """They enrol and approve with a passkey of their own, then press Enter instead of denying."""
    terminal, other_end = pty.openpty()
    with subprocess.Popen(  # noqa: S603 - our own program
        DEMO, cwd=ROOT, env=environment(tmp_path), stdin=other_end, stdout=other_end
    ) as demo:
        os.close(other_end)
        screen = Screen(terminal)
        invitation = screen.link("/invite/")
        person = SoftwarePerson("priya", origin=invitation.partition("/invite/")[0])
        person.enrol(invitation)
        screen.until("Priya has a passkey: yours.")
        screen.until("It is your turn, Priya")
        person.decide(screen.link("/r/"), "approve")
        screen.until("Priya approves: two of two.")
        screen.until("It is your turn, Priya")
        screen.until("Press Enter")
        os.write(terminal, b"\n")
        screen.until("A software passkey takes your part")
        screen.until("Everything went as told.")
        screen.rest()
        person.close()
    assert demo.returncode == 0
    assert list(tmp_path.iterdir()) == []


@contextlib.contextmanager
def visited(folder: Path, **more: str) -> Iterator[tuple[Screen, SoftwarePerson]]:
    """The demo with somebody at the keyboard who has enrolled; it has to end well."""
    terminal, other_end = pty.openpty()
    with subprocess.Popen(  # noqa: S603 - our own program
        DEMO, cwd=ROOT, env=environment(folder, **more), stdin=other_end, stdout=other_end
    ) as demo:
        os.close(other_end)
        screen = Screen(terminal)
        invitation = screen.link("/invite/")
        person = SoftwarePerson("priya", origin=invitation.partition("/invite/")[0])
        person.enrol(invitation)
        screen.until("It is your turn, Priya")
        yield screen, person
        screen.rest()
        person.close()
    assert demo.returncode == 0
    assert list(folder.iterdir()) == []


@pytest.mark.slow
def test_who_approves_where_the_story_denies_sees_what_that_does(tmp_path: Path) -> None:
    with visited(tmp_path, SSH_CONNECTION="192.0.2.7 50000 192.0.2.8 22") as (screen, person):
        page = screen.link("/r/")
        screen.until("@192.0.2.8")  # over ssh the page is on another machine than the browser
        person.decide(page, "approve")
        screen.until("It is your turn, Priya")
        person.decide(screen.link("/r/"), "approve")
        # By day the mailing goes out; at night a rule asks for a second person, who denies.
        screen.until("Everything went as told.")


@pytest.mark.slow
def test_who_denies_where_the_story_approves_ends_it_in_order(tmp_path: Path) -> None:
    with visited(tmp_path) as (screen, person):
        person.decide(screen.link("/r/"), "deny")
        screen.until("You denied the call")


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(  # noqa: S603 - our own program
            [*DEMO, "--port", str(port)],
            cwd=ROOT,
            env=environment(tmp_path, CI="1"),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    assert done.returncode == 1
    assert f"port {port} cannot be used" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_story_leaves_nothing_behind(tmp_path: Path, ending: signal.Signals) -> None:
    with subprocess.Popen(  # noqa: S603 - our own program
        DEMO, cwd=ROOT, env=environment(tmp_path, CI="1"), stdout=subprocess.PIPE, text=True
    ) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if "The service runs at" in line:
                break
        (home,) = tmp_path.glob("assent-demo-*")
        serving = [pid for pid in processes() if str(home) in environment_of(pid)]
        assert serving
        demo.send_signal(ending)
        rest = demo.stdout.read()
    assert demo.returncode == 130
    assert "Interrupted" in rest
    assert list(tmp_path.iterdir()) == []
    assert not [pid for pid in serving if str(home) in environment_of(pid)]


class Screen:
    """What a terminal shows, read until something is there."""

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal
        self._text = ""

    def until(self, wanted: str) -> None:
        """Read until `wanted` is shown, which is taken off the screen with all before it."""
        self._find(re.compile(re.escape(wanted)))

    def link(self, path: str) -> str:
        """The next link that leads to `path`."""
        return self._find(re.compile(rf"http://localhost:\d+{path}\S+(?=\s)")).group()

    def rest(self) -> None:
        """Read to the end, so that the program is never held up by a full terminal."""
        while self._read():
            pass

    def _find(self, pattern: re.Pattern[str]) -> re.Match[str]:
        while (found := pattern.search(self._text)) is None:
            assert self._read(), f"the demo ended before {pattern.pattern}: {self._text[-2000:]}"
        self._text = self._text[found.end() :]
        return found

    def _read(self) -> bool:
        try:
            shown = os.read(self._terminal, 65536)
        except OSError:  # how Linux says that the other end of a terminal was closed
            return False
        text = shown.decode(errors="replace")
        self._text += re.sub(r"\x1b\[[0-9;]*m", "", text)
        return bool(shown)


def processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def environment_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
    except OSError:
        return ""
