"""Challenges of strangers: nothing is kept of them, and each is taken once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from sqlmodel import func, select

from approvals.core.errors import AssentError, Conflict, Unauthenticated
from approvals.flow.people import signin
from approvals.store.rows.people import CeremonyRow
from tests.service import open_service, start
from tests.softkey import SoftKey

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.service import Running


@pytest.fixture
def running(tmp_path: Path, database_url: str) -> Iterator[Running]:
    company = start(tmp_path, database_url)
    yield company
    company.service.store.close()


def rows(running: Running) -> int:
    with running.service.store.read() as tx:
        return tx.session.exec(select(func.count()).select_from(CeremonyRow)).one()


def answered(running: Running, ceremony: str | None = None) -> str:
    begun = signin.begin(running.service)
    credential = running.passkeys["ada"].authenticate(begun.options)
    return signin.finish(running.service, ceremony or begun.id, credential)


def test_a_stranger_writes_nothing(running: Running) -> None:
    before = rows(running)
    for _ in range(20):
        signin.begin(running.service)
    assert rows(running) == before
    answered(running)
    assert rows(running) == before + 1


def test_it_is_taken_once(running: Running) -> None:
    begun = signin.begin(running.service)
    key = running.passkeys["ada"]
    first, second = key.authenticate(begun.options), key.authenticate(begun.options)
    signin.finish(running.service, begun.id, first)
    for again in (first, second):
        with pytest.raises(Conflict) as refused:
            signin.finish(running.service, begun.id, again)
        assert refused.value.code == "ceremony_used"


def test_it_is_taken_once_by_many_at_one_moment_in_two_processes(running: Running) -> None:
    services = [running.service]
    if not running.service.settings.database_url.startswith("sqlite"):
        services.append(open_service(running.service.settings))  # as another process has it
    begun = signin.begin(running.service)
    credential = running.passkeys["ada"].authenticate(begun.options)
    together = threading.Barrier(6)

    def finish(number: int) -> str:
        together.wait()
        try:
            signin.finish(services[number % len(services)], begun.id, credential)
        except AssentError as refused:
            return refused.code
        return "signed in"

    with ThreadPoolExecutor(6) as pool:
        outcomes = sorted(pool.map(finish, range(6)))
    for other in services[1:]:
        other.store.close()
    assert outcomes == ["ceremony_used"] * 5 + ["signed in"]


def test_what_did_not_hold_may_be_answered_again(running: Running) -> None:
    begun = signin.begin(running.service)
    with pytest.raises(Unauthenticated):
        signin.finish(running.service, begun.id, SoftKey("nobody").authenticate(begun.options))
    signin.finish(running.service, begun.id, running.passkeys["ada"].authenticate(begun.options))


def test_only_the_services_own_are_taken_and_for_this_alone(running: Running) -> None:
    begun = signin.begin(running.service)
    credential = running.passkeys["ada"].authenticate(begun.options)
    name, nonce, made, mac = begun.id.split(".")
    other = signin.begin(running.service).id.split(".")
    wrong = [
        name,
        "",
        f"{name}.{nonce}.{made}.{other[3]}",
        f"{other[0]}.{nonce}.{made}.{mac}",  # another id: it would be taken a second time
        f"{name}.{other[1]}.{made}.{mac}",
        f"{name}.{nonce}.{int(made) + 1}.{mac}",  # younger than it is
        f"{name}.{nonce}.0{made}.{mac}",
        f"{begun.id}.",
        f"{begun.id}\n",
        f"{name}.{nonce}.{'9' * 4000}.{mac}",
    ]
    for told in wrong:
        with pytest.raises(Conflict) as refused:
            signin.finish(running.service, told, credential)
        assert refused.value.code == "ceremony_used", told
    signin.finish(running.service, begun.id, credential)


def test_it_is_too_old_after_its_time(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = signin.begin(running.service)
    credential = running.passkeys["ada"].authenticate(begun.options)
    store, life = running.service.store, running.service.settings.statement_life
    honest = store._now
    monkeypatch.setattr(store, "_now", lambda session: honest(session) + life + 1)
    with pytest.raises(Conflict):
        signin.finish(running.service, begun.id, credential)
