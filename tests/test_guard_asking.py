"""What could not be verified once people have approved is refused before anybody is asked."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from approvals.client import AsyncClient, Client, plans
from approvals.core.approval import MAX_SKEW
from approvals.core.decision.ceremony import StepUp
from approvals.core.errors import ApprovalRejected
from approvals.guard import CallRefused, Guard
from approvals.guard.keys import FetchedKeys
from approvals.verifier import PEOPLE_MAX_AGE, Floor, Verifier
from tests.company import AUDIENCE, CALL, ISSUER, NOW, Company, new_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from approvals.client.steps import Plan
    from approvals.core.canonical import Json

COMPANY = Company()
KEY = new_key()
ASKED = "the service was asked"
FINANCE = Floor(quorum=2, groups={"finance"})


@dataclass(frozen=True)
class Case:
    """One thing that is wrong at the enforcer: in its verifier, or in as whom it asks."""

    reason: str
    verifier: Mapping[str, Any] = field(default_factory=dict)
    url: str = ISSUER
    enforcer: str = AUDIENCE
    tenant: str = "default"
    user: str = "uma"
    later: int = 0

    def build(self, keys: Mapping[str, Json]) -> Verifier:
        given = {"people": COMPANY.directory, "keys": keys, **self.verifier}
        return Verifier(issuer=ISSUER, audience=AUDIENCE, **given)

    def guard(self, *, fetched: bool) -> Guard:
        known = self.verifier.get("keys", COMPANY.jwks)
        verifier = FetchedKeys(self.build, lambda: given(known)) if fetched else self.build(known)
        client = Client(self.url, enforcer=self.enforcer, key=KEY, tenant=self.tenant)
        return Guard(
            client, verifier, agent="billing-agent", user=self.user, clock=lambda: NOW + self.later
        )

    def approved(self) -> str:
        """What the service would have issued to this guard, had people been asked."""
        now = NOW + self.later
        document = COMPANY.request(
            audience=self.enforcer,
            tenant=self.tenant,
            user=self.user,
            created=now - 60,
            expires=now + 3600,
        )
        votes = [COMPANY.vote(person, document) for person in ("ada", "ben")]
        approval = COMPANY.approval(document, votes, issuer=self.url, user=self.user)
        return COMPANY.token(replace(approval, issued=now, not_before=now, expires=now + 290))


def given(keys: Mapping[str, Json]) -> Plan[dict[str, Json]]:
    yield from ()
    return dict(keys)


def without_passkey(person: str) -> Any:
    people = COMPANY.directory.people
    kept = tuple(replace(it, keys=()) if it.id == person else it for it in people)
    return replace(COMPANY.directory, people=kept)


def with_passkeys(step_up: StepUp) -> Any:
    return replace(
        COMPANY.directory,
        people=tuple(
            replace(it, keys=tuple(replace(key, step_up=step_up) for key in it.keys))
            for it in COMPANY.directory.people
        ),
    )


RETIRED: dict[str, Any] = {"keys": [{**COMPANY.key.public_jwk(), "exp": NOW - 1}]}
CASES = {
    "the directory is too old": Case("directory", later=PEOPLE_MAX_AGE),
    "the directory is of a time to come": Case("directory", later=-1000 - MAX_SKEW - 1),
    "all keys are retired": Case("unknown_key", {"keys": RETIRED}),
    "there are no keys": Case("unknown_key", {"keys": {"keys": []}}),
    "the client is another enforcer": Case("audience", enforcer="mail-gateway"),
    "the client is of another tenant": Case("tenant", tenant="second"),
    "the floor has no word on the tool": Case("floor", {"floor": {"refund": FINANCE}}),
    "the floor needs the user": Case("floor", {"floor": {"transfer": FINANCE}}, user="ben"),
    "the floor needs somebody who has no passkey": Case(
        "floor", {"floor": {"transfer": FINANCE}, "people": without_passkey("ben")}
    ),
    "the floor needs a passkey that nobody has": Case(
        "floor",
        {
            "floor": {"transfer": Floor(step_up="hardware-passkey")},
            "people": with_passkeys(StepUp.PASSKEY),
        },
    ),
}


@pytest.fixture(autouse=True)
def _asking_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def submit(*_: object, **__: object) -> None:
        raise AssertionError(ASKED)

    monkeypatch.setattr(plans, "submit", submit)


def refusal(ask: Callable[[], object]) -> str:
    with pytest.raises(CallRefused) as caught:
        ask()
    return caught.value.reason


@pytest.mark.parametrize("fetched", [True, False], ids=["fetched", "pinned"])
@pytest.mark.parametrize("name", CASES)
def test_nobody_is_asked_for_an_approval_that_could_not_hold(name: str, *, fetched: bool) -> None:
    case = CASES[name]
    guard = case.guard(fetched=fetched)
    assert refusal(lambda: guard.ask(CALL)) == case.reason
    assert refusal(lambda: asyncio.run(guard.ask_async(CALL))) == case.reason


@pytest.mark.parametrize("name", CASES)
def test_it_is_refused_with_the_reason_that_it_would_have_afterwards(name: str) -> None:
    case = CASES[name]
    verifier = case.build(case.verifier.get("keys", COMPANY.jwks))
    with pytest.raises(ApprovalRejected) as caught:
        verifier.verify(case.approved(), CALL, now=NOW + case.later)
    afterwards = {case.reason}
    if case.reason == "floor":
        # A vote without a pinned passkey, or of the user, is not counted in the first place.
        afterwards |= {"evidence", "quorum"}
    assert caught.value.reason in afterwards


@pytest.mark.parametrize("floor", [None, {"transfer": FINANCE}, {"*": Floor(quorum=4)}])
def test_what_can_hold_is_asked(floor: Mapping[str, Floor] | None) -> None:
    guard = Case("", {"floor": floor}).guard(fetched=True)
    with pytest.raises(AssertionError, match=ASKED):
        guard.ask(CALL)


def test_the_age_is_looked_at_each_time() -> None:
    """Would catch a look at construction alone: a process outlives what it pinned."""
    now = NOW
    guard = replace(Case("").guard(fetched=False), clock=lambda: now)
    with pytest.raises(AssertionError, match=ASKED):
        guard.ask(CALL)
    now += PEOPLE_MAX_AGE
    assert refusal(lambda: guard.ask(CALL)) == "directory"


@pytest.mark.parametrize(
    "other",
    [
        AsyncClient("https://other.example", enforcer=AUDIENCE, key=KEY),
        AsyncClient(ISSUER, enforcer="mail-gateway", key=KEY),
        AsyncClient(ISSUER, enforcer=AUDIENCE, key=KEY, tenant="second"),
    ],
)
def test_coroutines_ask_the_same_service_as_the_same_enforcer(other: AsyncClient) -> None:
    guard = replace(Case("").guard(fetched=False), async_client=other)
    with pytest.raises(CallRefused) as caught:
        asyncio.run(guard.ask_async(CALL))
    assert (caught.value.reason, caught.value.place) == ("configuration", "async_client")
