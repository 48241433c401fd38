"""While everything waits for the database, probes, keys and the log are still answered."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx2
from pysqlite3 import dbapi2 as sqlite
from sqlalchemy import text

from approvals.client import ServiceAway
from approvals.core.calls import ToolCall
from approvals.store.transactions import ATTEMPTS
from tests.api.running import TARGET, TRANSFER, served
from tests.progress import until

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.api.running import Running

CALLERS = 60
"""More than the service has threads for requests."""


def submit(company: Running, amount: int) -> str:
    call = ToolCall(TARGET, "transfer", {**TRANSFER.args, "amount": amount})
    try:
        company.client().submit(call, agent="billing-agent", user="uma")
    except ServiceAway as error:
        return error.message
    return "done"


def test_a_locked_database_holds_back_neither_probes_nor_keys_nor_the_log(
    tmp_path: Path, sqlite_url: str
) -> None:
    with served(tmp_path / "home", database=sqlite_url) as company:
        assert submit(company, 1) == "done"
        path = sqlite_url.removeprefix("sqlite:///")
        other = sqlite.connect(path, isolation_level=None, timeout=60)
        other.execute("BEGIN IMMEDIATE")
        waiting = company.service.store._batches
        assert waiting is not None
        with ThreadPoolExecutor(CALLERS) as pool:
            answers = [pool.submit(submit, company, amount) for amount in range(2, 2 + CALLERS)]
            until(lambda: waiting._queued >= 20)
            for place in ("/healthz", "/.well-known/jwks.json", "/log/checkpoint"):
                answer = httpx2.get(f"{company.service.settings.url}{place}", trust_env=False)
                assert answer.status_code == 200, place
            assert not any(each.done() and each.result() == "done" for each in answers)
            assert waiting._queued  # they waited all the while
            other.execute("ROLLBACK")
            other.close()
        said = {each.result() for each in answers}
    assert said <= {"done"} | {each for each in said if "503" in each}


def test_a_collision_is_not_the_callers_business(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(tmp_path / "home", database=postgres_url) as company:
        store = company.service.store
        real, lock = store._now, threading.Lock()
        collisions: list[int] = []

        def collide(session: object) -> int:
            with lock:
                if len(collisions) < ATTEMPTS - 1 and threading.current_thread().name.startswith(
                    "AnyIO"
                ):
                    collisions.append(1)
                    session.execute(  # type: ignore[attr-defined]
                        text("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40P01'; END $$")
                    )
            return real(session)  # type: ignore[arg-type]

        company.client().jwks()
        assert submit(company, 1) == "done"
        monkeypatch.setattr(store, "_now", collide)
        assert submit(company, 2) == "done"
        assert len(collisions) == ATTEMPTS - 1
