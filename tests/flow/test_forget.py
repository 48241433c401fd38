"""What browsers leave behind does not add up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlmodel import func, select

from approvals.flow.asking import expire
from approvals.flow.people import linking, signin
from approvals.store.rows.people import CeremonyRow, LinkCodeRow, SessionRow

if TYPE_CHECKING:
    import pytest

    from tests.service import Running


def kept(running: Running) -> tuple[int, int]:
    with running.service.store.read() as tx:
        ceremonies = tx.session.exec(select(func.count()).select_from(CeremonyRow)).one()
        sessions = tx.session.exec(select(func.count()).select_from(SessionRow)).one()
    return ceremonies, sessions


def test_challenges_and_sessions_are_forgotten_when_their_time_has_passed(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(20):
        begun = signin.begin(running.service)
        credential = running.passkeys["ada"].authenticate(begun.options)
        signin.end(running.service, signin.finish(running.service, begun.id, credential))
    expire.expire(running.service)
    assert kept(running) == (22, 2)
    store, settings = running.service.store, running.service.settings
    honest = store._now
    for later, left in ((settings.statement_life, (0, 2)), (settings.session_life, (0, 0))):
        monkeypatch.setattr(store, "_now", lambda session, by=later: honest(session) + by)
        expire.expire(running.service)
        assert kept(running) == left
    assert signin.session(running.service, running.tokens["ada"]) is None


def test_codes_for_chat_accounts_are_forgotten_when_their_time_has_passed(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        begun = linking.begin_link(running.service, running.sessions["ada"])
        credential = running.passkeys["ada"].authenticate(begun.options)
        linking.start_link(running.service, running.sessions["ada"], "slack", begun.id, credential)
    store = running.service.store
    honest = store._now
    for later, left in ((0, 3), (linking.CODE_SECONDS, 0)):
        monkeypatch.setattr(store, "_now", lambda session, by=later: honest(session) + by)
        expire.expire(running.service)
        with store.read() as tx:
            assert tx.session.exec(select(func.count()).select_from(LinkCodeRow)).one() == left
