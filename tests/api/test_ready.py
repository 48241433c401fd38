"""Ready means that this process can grant now; if not, it says why, and it never hangs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pysqlite3 import dbapi2 as sqlite
from sqlalchemy import text
from starlette.testclient import TestClient

from approvals.core.errors import Unavailable
from approvals.flow import loops
from approvals.workers.jobs import Jobs
from tests.api.running import open_company
from tests.progress import PATIENCE, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.api.running import Running

URL = "http://localhost:8420"


@pytest.fixture
def company(tmp_path: Path, database_url: str) -> Iterator[Running]:
    running = open_company(tmp_path / "home", url=URL, database=database_url)
    # On a busy machine neither the listener nor a trial is as quick as a probe wants it.
    running.app.state.api.readiness._patience = PATIENCE
    until(lambda: running.service.store.health.listening)
    yield running
    running.service.store.close()


def asked(company: Running) -> tuple[int, dict[str, Any]]:
    http = TestClient(company.app, base_url=URL)
    company.app.state.api.readiness._last = None  # do not wait until it may be tried again
    response = http.get("/readyz")
    return response.status_code, response.json()


def test_a_process_that_can_grant_is_ready_and_says_what_it_looked_at(company: Running) -> None:
    work = Jobs(company.service)
    work.start()
    status, said = asked(company)
    assert (status, said["status"]) == (200, "ok")
    assert said["checks"]["granting"]["ok"]
    assert {"loop log", "loop expire", "loop keys"} <= said["checks"].keys()
    assert all(check["code"] is None for check in said["checks"].values())
    work.stop()


def test_the_trial_writes(company: Running) -> None:
    assert asked(company)[0] == 200
    with company.service.store.read() as tx:
        assert tx.session.execute(text("SELECT probed FROM standing")).scalar_one() is not None


@pytest.mark.parametrize("code", ["log_altered", "log_rolled_back"])
def test_a_closed_service_is_not_ready_and_says_why_and_what_to_do(
    company: Running, code: str
) -> None:
    with company.service.store.begin() as tx:
        tx.standing.close(code=code, reason="a secret path", now=tx.now)
    status, said = asked(company)
    assert (status, said["code"]) == (503, "not_ready")
    granting = said["checks"]["granting"]
    assert (granting["ok"], granting["code"]) == (False, code)
    assert "assent log" in granting["remedy"]
    assert "a secret path" not in str(said)


def test_without_a_sequencer_it_is_not_ready_once_events_wait_too_long(company: Running) -> None:
    with company.service.store.begin() as tx:
        tx.session.execute(text("UPDATE staged SET created = created - 10000"))
    status, said = asked(company)
    assert (status, said["checks"]["granting"]["code"]) == (503, "log_stale")


def test_a_loop_that_granting_needs_and_that_hangs_makes_it_not_ready(
    company: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loops, "LATE_SECONDS", -1.0)
    company.service.loops.began("email-0", every=0.0)
    company.service.loops.failed("email-0", "smtp_away")
    status, said = asked(company)
    assert status == 200
    assert said["checks"]["loop email-0"]["code"] == "smtp_away"
    company.service.loops.began("log", every=0.0)
    status, said = asked(company)
    assert status == 503
    assert not said["checks"]["loop log"]["ok"]


def test_a_key_that_the_log_does_not_tell_of_makes_it_not_ready(company: Running) -> None:
    company.service._introduced.clear()
    with company.service.store.begin() as tx:
        tx.session.execute(text("DELETE FROM staged"))
    assert asked(company)[1]["checks"]["granting"]["code"] == "key_not_introduced"


def test_a_bug_in_the_trial_is_no_answer_of_500(
    company: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(type(company.service), "signer", broken)
    assert asked(company)[1]["checks"]["granting"]["code"] == "unexpected"


def test_a_database_that_cannot_be_written_is_not_ready(tmp_path: Path, postgres_url: str) -> None:
    company = open_company(tmp_path / "home", url=URL, database=postgres_url)
    store = company.service.store
    name = postgres_url.rsplit("/", 1)[1]
    with store.begin() as tx:
        tx.session.execute(text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'))
    store._engine.dispose()
    status, said = asked(company)
    assert (status, said["checks"]["granting"]["ok"]) == (503, False)
    store.close()


def test_while_the_database_does_not_answer_the_probe_does(tmp_path: Path, sqlite_url: str) -> None:
    """Another process holds SQLite's lock: the trial waits for it, whoever asks does not."""
    company = open_company(tmp_path / "home", url=URL, database=sqlite_url)
    company.app.state.api.readiness._patience = 0.05
    other = sqlite.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with TestClient(company.app, base_url=URL) as http:  # one event loop for all of it
        assert http.get("/readyz").json()["checks"]["granting"]["code"] == "no_answer"
        assert http.get("/readyz").json()["checks"]["granting"]["code"] == "no_answer"
        other.execute("ROLLBACK")
        other.close()
        until(lambda: http.get("/readyz").status_code == 200)


def test_the_answer_of_a_probe_says_nothing_of_errors(
    company: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise Unavailable("postgresql://u:hush@db/assent is away")

    monkeypatch.setattr(type(company.service), "signer", away)
    assert "hush" not in str(asked(company))
