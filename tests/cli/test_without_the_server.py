"""What an enforcer or an auditor types runs where none of the service's libraries is installed."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from approvals.app import build_app
from approvals.config import load
from tests import service as services
from tests.test_packaging import SERVER_ONLY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ABSENT = sorted(SERVER_ONLY - {"rich", "typer", "pydantic"})
"""typer and rich are the extra `cli`; typer brings pydantic."""

PROGRAM = f"""
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {ABSENT!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
from approvals.cli import main
main()
"""


def assent(*arguments: object, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", PROGRAM, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **env},
    )


@pytest.fixture
def place(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder with an enforcer's key, and the address of a service with one approved transfer."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://localhost:{listening.getsockname()[1]}"
        running = services.start(tmp_path, f"sqlite:///{tmp_path / 'service.db'}", url=url)
        request = running.opened("750.00")
        for person in ("ada", "ben"):
            running.decide(person, request)
        folder = tmp_path / "auditor"
        folder.mkdir()
        key = folder / "key.json"
        key.touch(mode=0o600)
        key.write_text(json.dumps(running.enforcer_jwk), encoding="utf-8")
        (folder / "request").write_text(request, encoding="utf-8")
        (folder / "log.vkey").write_text(running.service.keys.vkey, encoding="utf-8")
        load(home=tmp_path / "assent", url=url)
        with services.serving(build_app(running.service), listening):
            yield folder, url


def test_an_auditor_needs_nothing_of_the_service(place: tuple[Path, str]) -> None:
    folder, url = place
    env = {"ASSENT_URL": url}
    caller = ("--key", folder / "key.json", "--enforcer", services.ENFORCER)
    request = (folder / "request").read_text("utf-8")
    key = ("--log-key", folder / "log.vkey")
    log = folder / "log"
    pins = folder / "pins"
    for command in (
        ("token", *caller),
        ("keys", "directory", *caller, "--out", pins),
        ("evidence", request, *caller, "--out", folder / "evidence.json"),
        ("log", "fetch", "--out", log),
        ("log", "check", "--log", url, *key),
        ("log", "check", "--log", log, *key, "--checkpoint", log / "checkpoint"),
        (
            "verify",
            folder / "evidence.json",
            "--jwks",
            pins / "jwks.json",
            *key,
            "--people",
            pins / "people.jwt",
            "--log",
            log,
        ),
    ):
        ended = assent(*command, env=env)
        assert ended.returncode == 0, (command, ended.stdout, ended.stderr)


def test_a_published_log_that_was_changed_is_a_finding(place: tuple[Path, str]) -> None:
    folder, url = place
    log, key = folder / "log", ("--log-key", folder / "log.vkey")
    assert assent("log", "fetch", "--url", url, "--out", log, env={}).returncode == 0
    bundle = next((log / "tile" / "entries").rglob("*.p/*"))
    whole = bundle.read_bytes()
    for changed in (whole.replace(b"vote.approve", b"vote.deny\x20\x20\x20"), whole[:-1] + b" "):
        bundle.write_bytes(changed)
        ended = assent("log", "check", "--log", log, *key, "--json", env={})
        assert ended.returncode in {1, 2}, ended.stdout
        assert json.loads(ended.stdout).get("ok") is not True


def test_what_needs_the_service_says_so(tmp_path: Path) -> None:
    ended = assent("bundle", "check", tmp_path, "--json", env={})
    assert ended.returncode == 2
    error = json.loads(ended.stdout)["error"]
    assert error["code"] == "not_installed"
    assert "assent-approvals[server]" in error["message"]
