"""What is too large for its readers is refused where it is made, before anybody relies on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from approvals.core import sizes
from approvals.core.decision.ceremony import Decision
from approvals.core.errors import AdmissionError, EvidenceError
from approvals.core.requests import State
from approvals.flow.acting import sight
from approvals.flow.deciding import vote
from approvals.flow.people import enrol
from tests.service import Running, start
from tests.softkey import SoftKey

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def running(tmp_path: Path, sqlite_url: str) -> Iterator[Running]:
    made = start(tmp_path, sqlite_url)
    yield made
    made.service.store.close()


def test_a_vote_whose_evidence_no_approval_has_room_for_is_not_counted(running: Running) -> None:
    request = running.opened()
    session, key = running.session("ada"), running.passkeys["ada"]
    sight.seen(running.service, session, request)
    begun = vote.begin(running.service, session, request, Decision.APPROVE)
    answer = key.authenticate(begun.options, extra={"more": "x" * sizes.VOTE_EVIDENCE})
    with pytest.raises(EvidenceError) as refused:
        vote.finish(running.service, session, begun.id, answer)
    assert refused.value.code == "too_large"
    assert running.decide("ada", request) is State.PENDING  # and an ordinary one is


def test_a_passkey_with_an_endless_id_is_not_enrolled(running: Running) -> None:
    invited = enrol.invite(running.service, tenant="default", person="cleo")
    begun = enrol.begin(running.service, invited.url.rsplit("/", 1)[1])
    key = SoftKey("long")
    key.credential_id = bytes(sizes.CREDENTIAL_ID + 1)
    with pytest.raises(EvidenceError):
        enrol.finish(running.service, begun.id, key.register(begun.options))


def test_a_call_that_shows_as_more_than_evidence_can_hold_is_refused(running: Running) -> None:
    """Would catch people who are asked about what no auditor could ever check."""
    with pytest.raises(AdmissionError) as refused:
        running.submit(args={"memo": "\x7f" * (sizes.DISPLAY // 20)})
    assert refused.value.code == "too_large"
