"""The Compose file: settings come from a file that may be absent, and never into the image."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from approvals.config import Settings

ROOT = Path(__file__).parents[1]
FILE = ROOT / "docker-compose.yml"
GUIDE = (ROOT / "docs" / "operating.md").read_text()
SERVICE = yaml.safe_load(FILE.read_text())["services"]["assent"]


def test_settings_come_from_a_file_that_may_be_absent() -> None:
    assert SERVICE["env_file"] == [{"path": "${ASSENT_ENV_FILE:-./assent.env}", "required": False}]
    assert "assent.env" in (ROOT / ".gitignore").read_text().splitlines()
    assert (ROOT / ".dockerignore").read_text().splitlines()[1] == "*"
    # What the file may not change: Compose puts `environment` before `env_file`.
    assert set(SERVICE["environment"]) == {"ASSENT_URL", "ASSENT_ISOLATED", "ASSENT_DATABASE"}


def test_the_guide_says_where_settings_go_and_names_none_that_there_is_not() -> None:
    (example,) = re.findall(r"```ini\n(.*?)```", GUIDE, re.DOTALL)
    named = re.findall(r"^(ASSENT_[A-Z_]+)=", example, re.MULTILINE)
    assert len(named) == len(example.splitlines())
    for name in named:
        assert name.removeprefix("ASSENT_").lower() in Settings.model_fields
    assert "ASSENT_ENV_FILE" in GUIDE


def _has_compose() -> bool:
    docker = shutil.which("docker")
    return docker is not None and not (
        subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode  # noqa: S603
    )


@pytest.mark.skipif(not _has_compose(), reason="Docker Compose is not installed")
@pytest.mark.parametrize("present", [False, True])
def test_compose_takes_the_file_with_and_without_settings(tmp_path: Path, *, present: bool) -> None:
    settings = tmp_path / "some.env"
    if present:
        settings.write_text("ASSENT_SMTP_HOST=mail.example\n")
    done = subprocess.run(  # noqa: S603
        ["docker", "compose", "--file", str(FILE), "config"],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,  # where the plugin is looked for
            "POSTGRES_PASSWORD": "x",
            "ASSENT_ENV_FILE": str(settings),
        },
    )
    assert done.returncode == 0, done.stderr
    service = yaml.safe_load(done.stdout)["services"]["assent"]
    assert ("ASSENT_SMTP_HOST" in service["environment"]) is present
