"""What is shipped: the wheel is whole, the base install is small, the locks are locks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ("base", "cli", "server", "build", "demo", "dev")
LINKS = {"approvals/web", "approvals/integrations"}
"""In a checkout they lead to folders at its root; the wheel has the folders themselves."""

TEST_TOOLS = (
    *("pytest", "pluggy", "iniconfig", "packaging", "pygments"),
    *("hypothesis", "sortedcontainers"),
    *("jwcrypto", "typing-extensions"),  # by which others sign what the verifier must take
)
ENFORCERS_WING = ("approvals.core", "approvals.verifier", "approvals.client", "approvals.guard")
SERVER_ONLY = {
    "alembic",
    "cedarpy",
    "fastapi",
    "jinja2",
    "jsonschema_rs",
    "prometheus_client",
    "psycopg",
    "pydantic",
    "pydantic_settings",
    "pysqlite3",
    "rich",
    "slack_sdk",
    "sqlalchemy",
    "sqlmodel",
    "starlette",
    "structlog",
    "typer",
    "uvicorn",
    "webauthn",
    "yaml",
}


def run(command: Sequence[str | Path], *, cwd: Path) -> str:
    environment = {name: os.environ[name] for name in os.environ if not name.startswith("PYTHON")}
    result = subprocess.run(  # noqa: S603 - commands written in this file
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout
    return result.stdout


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


# The base install


@pytest.mark.parametrize("module", ENFORCERS_WING)
def test_the_enforcers_wing_loads_no_server_dependency(module: str) -> None:
    loaded = run(
        [sys.executable, "-c", f"import {module}, sys; print(*sys.modules, sep='\\n')"], cwd=ROOT
    ).split()

    assert module in loaded
    assert (SERVER_ONLY | {"jwcrypto"}) & {name.split(".")[0] for name in loaded} == set()
    service = ("approvals.flow", "approvals.store", "approvals.web")
    assert not {name for name in loaded if name.startswith(service)}


def test_every_dependency_that_must_stay_out_is_one_of_the_server(project: dict[str, Any]) -> None:
    """SERVER_ONLY is only worth something as long as these names are what is really installed."""
    renamed = {"pyyaml": "yaml"}
    declared = {
        renamed.get(name, name.replace("-", "_"))
        for line in project["project"]["optional-dependencies"]["server"]
        for name in re.findall(r"^[a-z0-9-]+", line)
    }
    assert declared - SERVER_ONLY == {"httptools", "jwcrypto", "uvloop"}


# The wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(
        [
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-build-isolation"),
            *("--no-deps", "--wheel-dir", folder, ROOT),
        ],
        cwd=folder,
    )
    (built,) = folder.glob("assent_approvals-*.whl")
    return built


def test_the_wheel_holds_everything_that_the_packages_and_migrations_hold(wheel: Path) -> None:
    shipped = set(zipfile.ZipFile(wheel).namelist())
    tracked = run(
        ["git", "ls-files", "approvals", "web", "integrations", "alembic"], cwd=ROOT
    ).splitlines()
    wanted = {re.sub(r"^alembic/", "approvals/store/migrations/", name) for name in tracked}
    wanted = {re.sub(r"^(web|integrations)/", r"approvals/\1/", name) for name in wanted}

    assert wanted - LINKS - shipped == set()
    assert any(name.endswith(".html") for name in shipped), "the pages' templates"
    assert any(name.startswith("approvals/store/migrations/versions/") for name in shipped)
    assert "approvals/py.typed" in shipped


def test_the_wheel_holds_nothing_else(wheel: Path) -> None:
    top = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {name for name in top if not name.endswith(".dist-info")} == {"approvals"}


def test_an_application_keeps_its_own_packages_of_these_names(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    for name in ("web", "integrations"):
        own = tmp_path / "application" / name
        own.mkdir(parents=True)
        (own / "__init__.py").write_text("MINE = True\n")
    program = (
        "import sys; sys.path.append(sys.argv[1]); import integrations, web, approvals.app; "
        "print(web.MINE, integrations.MINE, approvals.app.__file__)"
    )
    said = run(
        [sys.executable, "-c", program, tmp_path / "installed"], cwd=tmp_path / "application"
    )
    assert said.startswith("True True ")


@pytest.mark.slow
def test_the_wheel_without_extras_verifies_approvals(wheel: Path, tmp_path: Path) -> None:
    """What an enforcement engineer installs passes the verifier's own tests, away from the source.

    What the tests themselves use is all that is added.
    """
    environment = tmp_path / "environment"
    run([sys.executable, "-m", "venv", environment], cwd=tmp_path)
    python = environment / "bin" / "python"
    lock = ROOT / "requirements" / "base.txt"
    for wanted in (
        ["--require-hashes", "--only-binary", ":all:", "-r", str(lock)],
        [str(wheel)],
        pinned("dev", *TEST_TOOLS),
    ):
        run(
            [python, "-m", "pip", "install", "--quiet", "--no-input", "--no-deps", *wanted],
            cwd=tmp_path,
        )

    tests = tmp_path / "tests"
    tests.mkdir()
    shared = [ROOT / "tests" / f"{name}.py" for name in ("company", "softkey", "verifying")]
    for path in (*shared, *(ROOT / "tests").glob("test_verifier*.py")):
        (tests / path.name).write_text(path.read_text("utf-8"), "utf-8")
    (tests / "vectors").symlink_to(ROOT / "tests" / "vectors")
    said = run([python, "-m", "pytest", "-q", "--import-mode=importlib", "tests"], cwd=tmp_path)

    assert re.search(r"\d+ passed", said), said
    where = run([python, "-c", "import approvals; print(approvals.__file__)"], cwd=tmp_path)
    assert where.startswith(str(environment))


# The locks


def read(lock: str) -> dict[str, str]:
    text = (ROOT / "requirements" / f"{lock}.txt").read_text("utf-8")
    return dict(re.findall(r"^([a-z0-9.-]+)==([^ \\;]+)", text, re.MULTILINE))


def pinned(lock: str, *names: str) -> list[str]:
    versions = read(lock)
    return [f"{name}=={versions[name]}" for name in names]


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_versions_and_hashes_and_no_place(lock: str) -> None:
    text = (ROOT / "requirements" / f"{lock}.txt").read_text("utf-8")
    logical = [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]
    requirements = [line for line in logical if not line.lstrip().startswith("#")]

    assert requirements
    for line in requirements:
        assert re.fullmatch(
            r"[a-z0-9.-]+==[^ ;]+( ; [^\\]+?)?(\s+--hash=sha256:[0-9a-f]{64})+\s*", line
        ), line
    assert not re.search(r"://|file:|find-links|index-url|/home/|/tmp/", text)


@pytest.mark.parametrize("lock", ["base", "cli", "server", "build", "demo"])
def test_what_is_deployed_is_what_was_tested(lock: str) -> None:
    assert read(lock).items() <= read("dev").items()


def test_the_locks_hold_every_declared_dependency(project: dict[str, Any]) -> None:
    def names(lines: Sequence[Any]) -> set[str]:
        return {re.split(r"[\[<>=,; ]", line)[0].lower() for line in lines if isinstance(line, str)}

    extras, groups = project["project"]["optional-dependencies"], project["dependency-groups"]
    base = names(project["project"]["dependencies"])
    server = names([*extras["server"], *extras["slack"]])
    assert base <= read("base").keys()
    assert base | names(extras["cli"]) <= read("cli").keys()
    assert base | server <= read("server").keys()
    for group in ("build", "demo"):
        assert names(groups[group]) <= read(group).keys()
    assert names(groups["dev"]) | base | server <= read("dev").keys()


def test_the_build_backend_is_locked(project: dict[str, Any]) -> None:
    assert project["build-system"]["requires"] == ["hatchling>=1.27"]
    assert "hatchling>=1.27" in project["dependency-groups"]["build"]
