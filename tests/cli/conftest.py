"""A command line that runs in this process, in a home of its own."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from approvals.cli.application import run
from tests.company import make_signing_key
from tests.service import bundle_files

if TYPE_CHECKING:
    from pathlib import Path

    from approvals.core.jws import SigningKey


@dataclass(frozen=True)
class Ended:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on standard output."""
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, str]:
        """The error that a program is told."""
        error: dict[str, str] = self.document["error"]
        return error


@dataclass(frozen=True)
class Shell:
    """Runs `assent` with what a test says, in a home that is the test's own."""

    folder: Path
    key: SigningKey
    capture: pytest.CaptureFixture[str]

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def bundle(self) -> Path:
        return self.folder / "bundle"

    def __call__(self, *arguments: str | Path) -> Ended:
        self.capture.readouterr()
        code = run([str(argument) for argument in arguments])
        said = self.capture.readouterr()
        return Ended(code, said.out, said.err)

    def write_bundle(self, **changes: str) -> Path:
        """The small bundle as a folder; `changes` replace whole files."""
        cases = f"""
cases:
  - name: a large transfer asks
    agent: billing-agent
    user: uma
    call:
      target: https://payments.example
      tool: transfer
      args: {{amount: "750.00", to: vendor@example.com}}
    expect: {changes.pop("expected", "escalate")}
"""
        public = {name: str(value) for name, value in self.key.public_jwk().items()}
        files = bundle_files(public, **changes) | {"tests/transfers.yaml": cases}
        for name, text in files.items():
            path = self.bundle / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return self.bundle

    def initialised(self) -> Shell:
        """The same shell after `assent init` with the small bundle."""
        ended = self("init", "--bundle", self.write_bundle(), "--by", "ops")
        assert ended.code == 0, ended.err
        return self


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


@pytest.fixture
def assent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Shell:
    for name in ("ASSENT_URL", "ASSENT_DATABASE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ASSENT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ASSENT_PORT", str(free_port()))
    # Errors are read as one line each, whatever the width of the terminal.
    monkeypatch.setenv("COLUMNS", "400")
    return Shell(tmp_path, make_signing_key(), capsys)
