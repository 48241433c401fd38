"""How people decide, counted from their votes, for operators alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from approvals.core import b64
from approvals.core.errors import AssentError
from approvals.flow.auditing.figures import figures
from approvals.flow.operating.activate import activate
from approvals.flow.people import signin
from tests.service import PEOPLE, bundle_files

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.service import Running


@pytest.fixture
def watched(running: Running) -> Running:
    """The service whose operator is ada."""
    files = bundle_files(
        running.enforcer_key.public_jwk(), people_yaml=PEOPLE + "  operators: [ada]\n"
    )
    activate(running.service, tenant="default", files=files, by="ops")
    return running


def test_figures_are_counted_from_the_votes(watched: Running, later: Callable[[int], None]) -> None:
    first, second, third = (watched.opened(amount) for amount in ("10.00", "20.00", "750.00"))
    watched.decide("ada", first)
    later(30)
    watched.decide("ada", second, "deny")
    watched.decide("ada", third)
    later(170)
    watched.decide("ben", third)
    found = figures(watched.service, watched.sessions["ada"])
    ada, ben = found.approvers
    assert (ada.name, ada.decided, ada.approved, ada.quick) == ("Ada Okafor", 3, 2, 1)
    assert ada.approve_rate == pytest.approx(2 / 3)
    assert ada.quick_rate == pytest.approx(1 / 3)
    assert 30 <= ada.median <= 33
    assert (ben.decided, ben.approved, ben.quick) == (1, 1, 0)
    assert 200 <= ben.median <= 205
    assert [(rule.name, rule.decided, rule.approved) for rule in found.rules] == [
        ("large-transfers", 2, 2),
        ("small-transfers", 2, 1),
    ]
    assert not found.cut


def test_figures_are_of_the_last_days_alone(watched: Running, later: Callable[[int], None]) -> None:
    watched.decide("ada", watched.opened("10.00"))
    later(31 * 86_400)
    watched.decide("ben", watched.opened("10.00"))
    found = figures(watched.service, watched.session("ada"))
    assert [each.name for each in found.approvers] == ["Ben Silva"]


def test_what_was_signed_is_held_against_what_was_decided(watched: Running) -> None:
    watched.enrol("cleo", counts=True, sign_count=5)
    watched.passkeys["cleo"].authenticate({"challenge": b64.encode(bytes(32))})
    begun = signin.begin(watched.service)
    key = watched.passkeys["cleo"]
    signin.finish(watched.service, begun.id, key.authenticate(begun.options))
    watched.decide("ben", watched.opened("20.00"))
    first, second = figures(watched.service, watched.sessions["ada"]).passkeys
    assert (first.name, first.uses, first.decisions, first.unseen) == ("Cleo Marsh", 1, 0, 1)
    assert (second.name, second.uses, second.decisions, second.unseen) == ("Ben Silva", 1, 1, 0)
    assert first.tail == b64.encode(key.credential_id)[-6:]


def test_figures_of_nobody(watched: Running) -> None:
    found = figures(watched.service, watched.sessions["ada"])
    assert (found.approvers, found.rules) == ((), ())


def test_who_is_no_operator_learns_nothing(watched: Running) -> None:
    with pytest.raises(AssentError) as caught:
        figures(watched.service, watched.sessions["ben"])
    assert caught.value.code == "not_found"


def test_without_the_group_nobody_is_an_operator(running: Running) -> None:
    with pytest.raises(AssentError) as caught:
        figures(running.service, running.sessions["ada"])
    assert caught.value.code == "not_found"


def test_a_person_of_the_groups_name_is_no_operator(running: Running) -> None:
    people = PEOPLE.replace("  cleo:", "  operators: {name: Otto Perator}\n  cleo:")
    files = bundle_files(running.enforcer_key.public_jwk(), people_yaml=people)
    activate(running.service, tenant="default", files=files, by="ops")
    running.enrol("operators")
    with pytest.raises(AssentError) as caught:
        figures(running.service, running.sessions["operators"])
    assert caught.value.code == "not_found"
