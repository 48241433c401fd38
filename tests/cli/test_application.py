"""The command tree: what it says about itself, and what it loads to say it."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module, metadata

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from approvals.cli.application import FAMILIES, application

HEAVY = {
    "fastapi",
    "sqlalchemy",
    "sqlmodel",
    "cedarpy",
    "jwcrypto",
    "httpx2",
    "webauthn",
    "pydantic_settings",
}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_familys_summary_is_the_first_line_of_its_help(family: str) -> None:
    app = typer.Typer()
    app.callback()(lambda: None)
    import_module(f"approvals.cli.{family}").register(app)
    told = get_command(app).commands[family].help  # type: ignore[attr-defined]
    assert " ".join(told.split("\n\n")[0].split()) == FAMILIES[family]


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_help_waits_for_nothing_that_a_command_needs(arguments: list[str]) -> None:
    program = (
        "import sys; from approvals.cli.application import run; "
        "code = run(sys.argv[1:]); print(*sys.modules, sep='\\n', file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False
    )
    loaded = {name.split(".")[0] for name in done.stderr.split()}
    assert "typer" in loaded
    assert loaded & HEAVY == set()


def test_it_tells_its_version() -> None:
    told = CliRunner().invoke(application(["--version"]), ["--version"])
    assert (told.exit_code, told.output.strip()) == (0, metadata.version("assent-approvals"))


def test_a_command_that_does_not_exist_is_named() -> None:
    told = CliRunner().invoke(application(["verfy"]), ["verfy"])
    assert told.exit_code == 2
    assert "verfy" in told.output
