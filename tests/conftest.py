"""What all tests share: a fresh database of each kind."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
from typing import TYPE_CHECKING

import pytest
from hypothesis import Phase, settings

from approvals.logs import configure_logs
from approvals.store import open_store
from tests.draws import Draws
from tests.once import made_once
from tests.postgres import Reused, cluster, database
from tests.seals import mac

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# No test compares durations, and a generator's deadline would. Failures are reproduced by the seed
# that the run prints.
settings.register_profile("project", deadline=None)
settings.load_profile("project")

# For `make mutate`: the same few examples for every mutant, and none made smaller once one fails.
settings.register_profile(
    "mutate",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=30,
    phases=[Phase.explicit, Phase.generate],
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--seed", type=int, default=None, help="what random faults are drawn from; printed if new"
    )
    parser.addoption(
        "--complete",
        action="store_true",
        help="every fault instead of a sample (make faults); takes long",
    )


def pytest_configure(config: pytest.Config) -> None:
    # A shell makes what it starts in the background ignore this signal, and so would the programs
    # that tests start and interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.option.seed is None:  # set here, so that each worker process has the same one
        config.option.seed = secrets.randbelow(2**32)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests begin first, so that no process waits for the last of them alone."""
    slow = {item.path for item in items if item.get_closest_marker("slow") is not None}
    items.sort(key=lambda item: item.path not in slow)


def pytest_report_header(config: pytest.Config) -> str:
    return f"random faults: --seed {config.option.seed}"


@pytest.fixture(scope="session")
def draws(request: pytest.FixtureRequest) -> Draws:
    """Which random faults this run injects."""
    return Draws(seed=request.config.option.seed, complete=request.config.option.complete)


@pytest.fixture(scope="session", autouse=True)
def _no_settings_from_outside() -> Iterator[None]:
    """A developer's own ASSENT_… variables must not decide what a test finds."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("ASSENT_")]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="session", autouse=True)
def _logs_as_in_service() -> None:
    """Logs go where the service writes them, so that what a program prints is its own."""
    configure_logs()


@pytest.fixture(scope="session", autouse=True)
def _made_once() -> Iterator[None]:
    with made_once():
        yield


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[str]:
    """One PostgreSQL server for each test process: the URL of its maintenance database."""
    with cluster() as url:
        yield url


@pytest.fixture(scope="session")
def migrated_postgres(postgres_cluster: str) -> Iterator[str]:
    """The URL of a database with every table and no row, to copy."""
    with database(postgres_cluster) as url:
        open_store(url, mac=mac).close()
        yield url


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with every table and no row, to copy."""
    path = tmp_path_factory.mktemp("template") / "assent.db"
    open_store(f"sqlite:///{path}", mac=mac).close()
    return path


@pytest.fixture(scope="session")
def _reused_postgres(postgres_cluster: str, migrated_postgres: str) -> Iterator[Reused]:
    with contextlib.closing(Reused(postgres_cluster, migrated_postgres)) as reused:
        yield reused


@pytest.fixture
def postgres_url(_reused_postgres: Reused) -> Iterator[str]:
    """A PostgreSQL database with every table and no row."""
    with _reused_postgres.lent() as url:
        yield url


@pytest.fixture
def sqlite_url(tmp_path: Path, migrated_sqlite: Path) -> str:
    """An SQLite database with every table and no row."""
    path = tmp_path / "assent.db"
    shutil.copy(migrated_sqlite, path)  # with its mode
    return f"sqlite:///{path}"


@pytest.fixture
def empty_postgres_url(postgres_cluster: str) -> Iterator[str]:
    """A PostgreSQL database without a table."""
    with database(postgres_cluster) as url:
        yield url


@pytest.fixture
def empty_sqlite_url(tmp_path: Path) -> str:
    """An SQLite database in a file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'empty.db'}"


def _of_each_kind(request: pytest.FixtureRequest, fixture: str) -> str:
    url: str = request.getfixturevalue(fixture)
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A database of each kind in turn, with every table and no row: what holds holds on both."""
    return _of_each_kind(request, "postgres_url" if request.param == "postgresql" else "sqlite_url")


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest) -> str:
    """A database of each kind in turn, without a table."""
    return _of_each_kind(
        request, "empty_postgres_url" if request.param == "postgresql" else "empty_sqlite_url"
    )
