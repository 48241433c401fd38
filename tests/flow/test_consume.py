from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from approvals.core import receipt as receipts
from approvals.core.errors import AssentError
from approvals.core.history.leaves import parse_leaf
from approvals.flow import status
from approvals.flow.acting.caller import Caller
from approvals.flow.asking import expire
from approvals.flow.asking.answers import Allowed
from approvals.flow.granting import consume, report
from approvals.flow.operating.activate import activate
from tests.service import ENFORCER, RULES, bundle_files

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.service import Running

SPENDERS = 64


def approved(running: Running, amount: str = "750.00", **more: object) -> tuple[str, str]:
    request = running.opened(amount, **more)
    running.decide("ada", request)
    running.decide("ben", request)
    return "apr_" + request[4:], status.status(running.service, running.caller, request).call_hash


def spend(running: Running, jti: str, call_hash: str, use_id: str = "u") -> str:
    try:
        consume.consume(running.service, running.caller, jti, call_hash=call_hash, use_id=use_id)
    except AssentError as error:
        return error.code
    return "receipt"


def events(running: Running) -> list[str]:
    with running.service.store.read() as tx:
        return [parse_leaf(each.leaf).event.TYPE for each in tx.log.staged(limit=1000)]


def test_of_many_spenders_one_gets_a_receipt(running: Running) -> None:
    jti, call_hash = approved(running)
    with ThreadPoolExecutor(SPENDERS) as pool:
        results = list(
            pool.map(lambda n: spend(running, jti, call_hash, f"use-{n}"), range(SPENDERS))
        )
    assert results.count("receipt") == 1
    assert results.count("consumed") == SPENDERS - 1
    assert events(running).count("approval.consumed") == 1


def test_the_same_use_gets_the_same_receipt(running: Running) -> None:
    jti, call_hash = approved(running)

    def use(_: int) -> str:
        return consume.consume(
            running.service, running.caller, jti, call_hash=call_hash, use_id="same"
        )

    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(use, range(32)))) == 1
    assert events(running).count("approval.consumed") == 1
    assert spend(running, jti, call_hash, "another") == "consumed"


def test_the_receipt_is_signed_and_the_same_after_a_key_rotation(
    running: Running, later: Callable[[int], None]
) -> None:
    jti, call_hash = approved(running)

    def use() -> str:
        return consume.consume(
            running.service, running.caller, jti, call_hash=call_hash, use_id="use-1"
        )

    token = use()
    with running.service.store.read() as tx:
        now = tx.now
    receipt = receipts.read(token, keys=running.service.keys.jwks(now))
    assert (receipt.jti, receipt.txn) == (jti, "req_" + jti[4:])
    assert (receipt.call_hash, receipt.use_id) == (call_hash, "use-1")
    assert (receipt.issuer, receipt.audience, receipt.tenant) == (
        running.service.settings.url,
        ENFORCER,
        "default",
    )
    assert 0 <= now - receipt.consumed < 600
    running.service.keys.rotate(now, delay=0)
    later(5000)
    assert use() == token


def test_an_approval_is_spent_for_its_own_call_only(running: Running) -> None:
    jti, call_hash = approved(running)
    other = status.status(running.service, running.caller, running.opened("800.00")).call_hash
    assert spend(running, jti, other) == "call_mismatch"
    assert spend(running, jti, call_hash) == "receipt"
    assert spend(running, jti, other) == "call_mismatch"


def test_a_stranger_finds_no_approval(running: Running) -> None:
    jti, call_hash = approved(running)
    key = running.caller.key
    for caller in (Caller("default", "other", key), Caller("x", ENFORCER, key)):
        with pytest.raises(AssentError) as caught:
            consume.consume(running.service, caller, jti, call_hash=call_hash, use_id="u")
        assert caught.value.code == "unauthenticated"


def test_an_expired_approval_is_not_spent_whether_or_not_a_job_ran(
    running: Running, later: Callable[[int], None]
) -> None:
    jti, call_hash = approved(running)
    later(301)
    assert spend(running, jti, call_hash) == "expired"
    assert expire.expire(running.service) == 1
    assert expire.expire(running.service) == 0
    assert "approval.lapsed" in events(running)
    assert spend(running, jti, call_hash) == "expired"


def test_a_request_expires_without_a_job(running: Running, later: Callable[[int], None]) -> None:
    request = running.opened()
    running.decide("ada", request)
    later(901)
    with pytest.raises(AssentError) as caught:
        running.decide("ben", request)
    assert caught.value.code == "not_pending"
    assert status.status(running.service, running.caller, request).state.value == "expired"
    assert expire.expire(running.service) == 1
    assert "request.expired" in events(running)
    assert running.opened() != request


def test_a_clock_that_runs_backwards_stops_granting(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    jti, call_hash = approved(running)
    monkeypatch.setattr(running.service.store._clock, "latest", 4_000_000_000)
    assert spend(running, jti, call_hash) == "clock_backwards"


@pytest.mark.parametrize(
    "change",
    [
        {"agents_yaml": "agents: {}\n"},
        {"policies_payments_cedar": RULES.replace("100000.00", "700.00")},
        {"policies_payments_cedar": RULES.replace('@quorum("2")', '@quorum("3")')},
    ],
    ids=["agent retired", "now forbidden", "now asks for three"],
)
def test_spending_takes_the_stricter_of_pinned_and_current(
    running: Running, change: dict[str, str]
) -> None:
    jti, call_hash = approved(running, user="cleo")
    activate(
        running.service,
        tenant="default",
        files=bundle_files(running.enforcer_key.public_jwk(), **change),
        by="ops",
    )
    assert spend(running, jti, call_hash) == "revoked"
    assert "approval.refused" in events(running)


def test_a_looser_bundle_does_not_take_an_approval_away(running: Running) -> None:
    jti, call_hash = approved(running)
    files = bundle_files(
        running.enforcer_key.public_jwk(),
        policies_payments_cedar=RULES.replace('"500.00"', '"600.00"'),
    )
    activate(running.service, tenant="default", files=files, by="ops")
    assert spend(running, jti, call_hash) == "receipt"


def test_what_policy_allowed_is_rechecked_too(running: Running) -> None:
    answer = running.submit("acc-1", tool="balance")
    assert isinstance(answer, Allowed)
    with running.service.store.read() as tx:
        issued = tx.approvals.of(tenant="default", txn=answer.id)
    assert issued is not None
    stricter = (
        RULES + '\n@id("no-reading") forbid (principal, action == Action::"balance", resource);'
    )
    activate(
        running.service,
        tenant="default",
        files=bundle_files(running.enforcer_key.public_jwk(), policies_payments_cedar=stricter),
        by="ops",
    )
    assert spend(running, issued.jti, issued.call_hash) == "revoked"


def test_an_outcome_is_reported_once(running: Running) -> None:
    jti, call_hash = approved(running)

    def told(outcome: str) -> str:
        try:
            report.report(running.service, running.caller, jti, status=outcome)
        except AssentError as error:
            return error.code
        return "told"

    assert told("ok") == "not_consumed"
    spend(running, jti, call_hash)
    assert [told("ok"), told("ok"), told("error"), told("maybe")] == [
        "told",
        "told",
        "already_reported",
        "status",
    ]
    assert events(running).count("outcome.reported") == 1
