"""Fetched keys have an age: a withdrawn one is not accepted for long, nor any that are too old."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from approvals.client import Client, ServiceAway
from approvals.client.steps import Pause, drive
from approvals.core.errors import ApprovalRejected
from approvals.guard import CallRefused, Guard, use
from approvals.guard.keys import LEAST_BETWEEN, MAX_AGE, REFRESH_AFTER, FetchedKeys
from approvals.verifier import Verifier
from tests.company import AUDIENCE, CALL, ISSUER, NOW, Company, make_signing_key, new_key
from tests.guarding import balance, ran, refused

if TYPE_CHECKING:
    from approvals.client.steps import Plan, Step

COMPANY = Company()


class Published:
    """A service's keys, a clock, and what was fetched when."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.jwks: dict[str, Any] = COMPANY.jwks
        self.away = False
        self.fetched: list[float] = []
        self.keys = FetchedKeys(self.build, self.fetch, clock=lambda: self.now)

    def build(self, keys: Any) -> Verifier:
        return Verifier(issuer=ISSUER, audience=AUDIENCE, keys=keys)

    def fetch(self) -> Plan[dict[str, Any]]:
        self.fetched.append(self.now)
        yield Pause(0.0)
        if self.away:
            raise ServiceAway("gone")
        return self.jwks

    def verify(self, company: Company = COMPANY) -> None:
        token = company.token(company.allowed())

        def verifying() -> Plan[None]:
            known = yield from self.keys.current()
            try:
                known.verify(token, CALL, now=NOW)
            except ApprovalRejected:
                newer = yield from self.keys.newer(known)
                if newer is None:
                    raise
                newer.verify(token, CALL, now=NOW)

        drive(verifying(), perform)


def perform(step: Step) -> bytes:
    assert isinstance(step, Pause)
    return b""


def test_a_withdrawn_key_stops_being_accepted() -> None:
    it = Published()
    it.verify()
    it.jwks = Company().jwks
    it.now += REFRESH_AFTER - 1
    it.verify()
    it.now += 1
    with pytest.raises(ApprovalRejected):
        it.verify()


def test_use_refreshes_the_keys_and_no_more_than_that() -> None:
    it = Published()
    for _ in range(5):
        it.verify()
        it.now += REFRESH_AFTER / 2
    assert it.fetched == [1000.0, 1000.0 + REFRESH_AFTER, 1000.0 + 2 * REFRESH_AFTER]


def test_while_the_service_is_away_keys_are_used_until_they_are_too_old() -> None:
    it = Published()
    it.verify()
    it.away = True
    it.now += MAX_AGE - 1
    it.verify()
    it.now += 1
    with pytest.raises(CallRefused) as error:
        it.verify()
    assert error.value.reason == "service_away"
    it.now += LEAST_BETWEEN
    it.away = False
    it.verify()


def test_a_service_that_is_away_is_not_asked_again_and_again() -> None:
    it = Published()
    it.verify()
    it.away = True
    it.now += REFRESH_AFTER
    for _ in range(5):
        it.verify()
    assert len(it.fetched) == 2


def test_an_unknown_key_is_fetched_at_once_but_not_again_and_again() -> None:
    """A rotation is followed; a forger with made-up keys cannot make the enforcer ask for ever."""
    it = Published()
    it.verify()
    it.now += LEAST_BETWEEN
    rotated = Company()
    it.jwks = {"keys": [*COMPANY.jwks["keys"], *rotated.jwks["keys"]]}  # type: ignore[misc]
    it.verify(rotated)
    assert len(it.fetched) == 2
    for _ in range(20):
        with pytest.raises(ApprovalRejected):
            it.verify(Company(key=make_signing_key()))
    assert len(it.fetched) == 2


def test_without_any_keys_nothing_is_verified() -> None:
    it = Published()
    it.away = True
    with pytest.raises(CallRefused) as error:
        it.verify()
    assert error.value.reason == "service_away"
    it.jwks, it.away = {"keys": 1}, False
    with pytest.raises(CallRefused):
        it.verify()


def test_who_comes_while_keys_are_fetched_takes_the_fetched_ones() -> None:
    it = Published()
    first, second = it.keys.current(), it.keys.current()
    assert isinstance(next(first), Pause)  # is fetching
    assert isinstance(next(second), Pause)  # waits for it
    with pytest.raises(StopIteration) as one:
        first.send(b"")
    with pytest.raises(StopIteration) as two:
        second.send(b"")
    assert one.value.value is two.value.value
    assert len(it.fetched) == 1


def test_a_fetch_that_never_ended_is_not_waited_for_for_ever() -> None:
    """A child of a fork, or a loop that was closed, never gets the answer."""
    it = Published()
    lost = it.keys.current()
    next(lost)
    it.now += 61
    it.verify()
    lost.close()


def test_keys_that_cannot_be_fetched_mean_that_nothing_runs() -> None:
    ran.clear()
    it = Published()
    it.away = True
    with Client("http://localhost:1", enforcer=AUDIENCE, key=new_key()) as client:
        guard = Guard(client, it.keys, agent="billing-agent", user="uma")
        with use(guard):
            refused("service_away", balance)
        with pytest.raises(CallRefused) as error:
            guard.spend("token", CALL)
        assert error.value.reason == "service_away"
    # Before asking, and before verifying.
    assert len(it.fetched) == 2
