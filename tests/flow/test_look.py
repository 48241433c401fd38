"""A page shows a person what they may see and nothing of other people's calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from approvals.flow.deciding import look
from approvals.flow.operating.activate import activate
from tests.service import PEOPLE, bundle_files

if TYPE_CHECKING:
    from tests.service import Running


@pytest.fixture
def company(running: Running) -> Running:
    """cleo and uma are employees: the agent works for them, and they approve nothing."""
    running.enrol("uma")
    running.enrol("cleo")
    files = bundle_files(
        running.enforcer_key.public_jwk(),
        people_yaml=PEOPLE.replace("[ada, ben, uma]", "[ada, ben]"),
    )
    activate(running.service, tenant="default", files=files, by="ops")
    return running


def approved(running: Running, *, user: str) -> str:
    request = running.opened("40.00", user=user)
    running.decide("ada", request)
    return request


def test_the_last_call_is_compared_with_by_who_was_asked_about_it(company: Running) -> None:
    before = approved(company, user="uma")
    request = company.opened("55.00", user="uma")
    for person in ("ada", "uma"):
        view = look.request(company.service, company.sessions[person], request)
        assert view.previous is not None
        assert view.previous.id == before


def test_what_an_agent_did_for_somebody_else_is_not_shown(company: Running) -> None:
    approved(company, user="uma")
    request = company.opened("55.00", user="cleo")
    view = look.request(company.service, company.sessions["cleo"], request)
    assert view.previous is None  # it would lay out the arguments of uma's call
    assert view.lately == ()


def test_who_is_asked_sees_that_an_agent_asked_before_but_not_for_what(company: Running) -> None:
    approved(company, user="uma")
    request = company.opened("55.00", user="cleo")
    view = look.request(company.service, company.sessions["ada"], request)
    assert [(card.title, card.gist) for card in view.lately] == [("Transfer money", ())]
