"""Transactions that meet wait for one another and never for ever: they lock in one order.

PostgreSQL only: on SQLite there is one writer.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import TYPE_CHECKING

import psycopg
import pytest
from sqlalchemy import text

from approvals.core import b64
from approvals.core.errors import Conflict
from approvals.flow.asking import expire
from approvals.flow.asking.answers import Opened
from approvals.flow.granting import consume
from approvals.flow.knowing import subjects
from approvals.flow.people import enrol
from approvals.store.requests import Requests
from tests.service import start

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.service import Running


@pytest.fixture
def running(tmp_path: Path, postgres_url: str) -> Iterator[Running]:
    """The service on PostgreSQL."""
    service = start(tmp_path, postgres_url)
    yield service
    service.service.store.close()


@pytest.fixture
def until_somebody_waits(postgres_url: str) -> Callable[[], None]:
    """Returns once a session waits for a lock that another one holds."""

    def wait() -> None:
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            for _ in range(3000):
                found = connection.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone()
                if found is not None:
                    return
                time.sleep(0.01)
        raise AssertionError("nobody waits for a lock")

    return wait


def approved(running: Running, amount: str) -> tuple[str, str]:
    """An approved request: its id and its call's hash."""
    request = running.opened(amount)
    running.decide("ada", request)
    answer = running.submit(amount)
    assert isinstance(answer, Opened)
    return request, answer.status.call_hash


@pytest.mark.parametrize("ending", ["spend", "lapse"])
def test_an_approval_ends_while_its_call_is_submitted_again(
    running: Running,
    monkeypatch: pytest.MonkeyPatch,
    until_somebody_waits: Callable[[], None],
    ending: str,
) -> None:
    request, hashed = approved(running, "40.00")
    service, store = running.service, running.service.store
    half_way, close = threading.Event(), Requests.close

    def pausing(self: Requests, request_id: str) -> None:
        if threading.current_thread().name.startswith("ending") and not half_way.is_set():
            half_way.set()
            until_somebody_waits()
        close(self, request_id)

    monkeypatch.setattr(Requests, "close", pausing)
    if ending == "lapse":
        honest = store._now
        monkeypatch.setattr(store, "_now", lambda session: honest(session) + 301)

    def end() -> object:
        if ending == "lapse":
            return expire.expire(service)
        return consume.consume(
            service, running.caller, "apr_" + request[4:], call_hash=hashed, use_id="u"
        )

    with ThreadPoolExecutor(1, "ending") as first, ThreadPoolExecutor(1) as second:
        done = first.submit(end)
        assert half_way.wait(30)
        answer = second.submit(lambda: running.submit("40.00")).result(60)
        assert isinstance(answer, Opened)
        assert answer.id != request  # the old one had ended by the time it was looked at
        assert done.result(60)


def test_a_person_invited_twice_at_the_same_moment_has_one_handle_and_one_open_invitation(
    running: Running, monkeypatch: pytest.MonkeyPatch, until_somebody_waits: Callable[[], None]
) -> None:
    with running.service.store.begin() as tx:  # from before anybody was invited
        tx.session.execute(text("DELETE FROM handle WHERE person = 'cleo'"))
    made: list[bytes] = []

    def paused(size: int) -> bytes:
        made.append(secrets.token_bytes(size))
        until_somebody_waits()
        return made[-1]

    monkeypatch.setattr(subjects, "secrets", SimpleNamespace(token_bytes=paused))

    def invite(_: int) -> str:
        url = enrol.invite(running.service, tenant="default", person="cleo").url
        return url.rsplit("/", 1)[1]

    with ThreadPoolExecutor(2) as pool:
        tokens = list(pool.map(invite, range(2)))
    opened = []
    for token in tokens:
        with contextlib.suppress(Conflict):
            opened.append(enrol.begin(running.service, token).options["user"]["id"])
    assert opened == [b64.encode(each) for each in made]
