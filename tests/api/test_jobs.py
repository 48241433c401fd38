"""The background work records; it decides nothing, and nothing ends it but being stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from approvals import log
from approvals.core.errors import Unavailable
from approvals.core.tlog.checkpoint import parse_checkpoint
from approvals.workers.jobs import Jobs
from tests.api.running import open_company
from tests.progress import until

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.api.running import Running

URL = "http://localhost:8420"


def logged(company: Running) -> int:
    with company.service.store.read() as tx:
        last = tx.log.latest_checkpoint()
    if last is None:
        return 0
    return parse_checkpoint(last.note, vkeys=[company.service.keys.vkey]).size


def staged(company: Running) -> int:
    with company.service.store.read() as tx:
        return tx.log.staged_count()


def test_events_get_their_places_while_it_runs(tmp_path: Path) -> None:
    company = open_company(tmp_path / "home", url=URL, log_interval=0.01)
    work = Jobs(company.service)
    work.start()
    until(lambda: logged(company) > 0)
    work.stop()
    company.service.store.close()


def test_stopping_leaves_nothing_in_line(tmp_path: Path) -> None:
    company = open_company(tmp_path / "home", url=URL, log_interval=60)
    work = Jobs(company.service)
    work.start()
    until(lambda: logged(company) > 0)
    company.enrol("ben")
    assert staged(company) > 0
    work.stop()
    assert staged(company) == 0
    company.service.store.close()


def test_a_job_that_fails_runs_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database away, or a bug: the next round is tried all the same."""
    company = open_company(tmp_path / "home", url=URL, log_interval=0.01)
    failures = [Unavailable("away"), RuntimeError("a bug")]
    real = log.sequence

    def failing(*args: Any, **options: Any) -> int:
        if failures:
            raise failures.pop()
        return real(*args, **options)

    monkeypatch.setattr(log, "sequence", failing)
    work = Jobs(company.service)
    work.start()
    until(lambda: logged(company) > 0)
    work.stop()
    assert failures == []
    company.service.store.close()


def test_stopping_before_starting_does_nothing(tmp_path: Path) -> None:
    company = open_company(tmp_path / "home", url=URL)
    Jobs(company.service).stop()
    assert logged(company) == 0
    company.service.store.close()
