from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from approvals import log
from approvals.core.calls import ToolCall
from approvals.core.errors import (
    AdmissionError,
    Forbidden,
    Invalid,
    TransitionError,
    Unauthenticated,
    Unavailable,
)
from approvals.core.history.leaves import parse_leaf
from approvals.core.requests import State
from approvals.flow import status
from approvals.flow.acting.caller import Caller, Submission
from approvals.flow.asking import expire
from approvals.flow.asking.answers import Allowed, Denied, Opened
from approvals.flow.asking.cancel import cancel
from approvals.flow.asking.submit import submit
from approvals.flow.granting import consume
from approvals.flow.operating.activate import activate
from approvals.verifier import Verifier
from tests.service import ENFORCER, TARGET, bundle_files

if TYPE_CHECKING:
    from tests.service import Running


def staged_types(running: Running) -> list[str]:
    with running.service.store.read() as tx:
        return [parse_leaf(each.leaf).event.TYPE for each in tx.log.staged(limit=1000)]


def test_what_policy_allows_is_approved_at_once(running: Running) -> None:
    answer = running.submit("acc-1", tool="balance")
    assert isinstance(answer, Allowed)
    now = int(time.time())
    verifier = Verifier(
        issuer=running.service.settings.url,
        audience=ENFORCER,
        keys=running.service.keys.jwks(now),
    )
    verified = verifier.verify(
        answer.approval, ToolCall(TARGET, "balance", {"account": "acc-1"}), now=now
    )
    assert verified.jti == "apr_" + answer.id[4:]
    assert "call.allowed" in staged_types(running)


def test_what_policy_forbids_is_refused_with_its_rules(running: Running) -> None:
    answer = running.submit("100000.00")
    assert isinstance(answer, Denied)
    assert answer.rules == ("no-huge-transfers",)
    assert answer.code == "forbidden"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"user": "nobody"}, "no_user"),
        ({"args": {"surprise": 1}}, "args_schema"),
        ({"args": {"amount": "1.23456"}}, "args_untyped"),
    ],
)
def test_what_cannot_be_decided_is_refused(
    running: Running, change: dict[str, object], code: str
) -> None:
    answer = running.submit(**change)  # type: ignore[arg-type]  # one change at a time
    assert isinstance(answer, Denied)
    assert answer.code == code


def test_a_target_that_the_enforcer_does_not_guard_is_forbidden(running: Running) -> None:
    with pytest.raises(Forbidden) as caught:
        submit(
            running.service,
            running.caller,
            Submission(
                call=ToolCall("https://elsewhere.example", "transfer", {}),
                agent="billing-agent",
                user="uma",
                body_digest="",
            ),
        )
    assert caught.value.code == "target_not_guarded"


def test_an_identical_call_finds_its_request(running: Running) -> None:
    first, second = running.opened(), running.opened()
    assert first == second
    assert running.opened("751.00") != first
    assert running.opened(user="cleo") != first
    assert "request.repeated" in staged_types(running)


def test_identical_calls_at_the_same_moment_make_one_request(running: Running) -> None:
    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(lambda _: running.opened(), range(16)))
    assert len(ids) == 1


def test_a_decided_request_does_not_answer_a_new_call(running: Running) -> None:
    first = running.opened()
    assert running.decide("ada", first, "deny", "not this one") is State.DENIED
    assert running.opened() != first


def test_an_approved_unspent_request_is_found_again_and_a_spent_one_is_not(
    running: Running,
) -> None:
    request = running.opened()
    running.decide("ada", request)
    running.decide("ben", request)
    again = running.submit()
    assert isinstance(again, Opened)
    assert again.id == request
    assert again.status.approval is not None
    consume.consume(
        running.service,
        running.caller,
        "apr_" + request[4:],
        call_hash=again.status.call_hash,
        use_id="u",
    )
    assert running.opened() != request


def test_an_idempotency_key_answers_as_before(running: Running) -> None:
    first = running.submit("acc-1", tool="balance", idempotency_key="k1")
    assert running.submit("acc-1", tool="balance", idempotency_key="k1") == first
    opened = running.submit("900.00", idempotency_key="k2")
    assert running.submit("900.00", idempotency_key="k2").id == opened.id
    denied = running.submit("100000.00", idempotency_key="k3")
    assert running.submit("100000.00", idempotency_key="k3") == denied
    with pytest.raises(Invalid) as caught:
        running.submit("acc-2", tool="balance", idempotency_key="k1")
    assert caught.value.code == "idempotency_mismatch"


def test_concurrent_uses_of_an_idempotency_key_get_one_answer(running: Running) -> None:
    def submit_once(_: int) -> str:
        return running.submit("acc-1", tool="balance", idempotency_key="same").id

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(submit_once, range(16)))) == 1


def test_nothing_is_granted_when_the_log_cannot_be_written(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    request = running.opened()
    running.decide("ada", request)
    before = staged_types(running)
    with monkeypatch.context() as patch:
        patch.setattr(log, "append", full)
        with pytest.raises(Unavailable, match="No space"):
            running.decide("ben", request)
        with pytest.raises(Unavailable, match="No space"):
            running.submit("acc-1", tool="balance")
    assert staged_types(running) == before
    seen = status.status(running.service, running.caller, request)
    assert seen.state is State.PENDING
    assert seen.approval is None
    assert running.decide("ben", request) is State.APPROVED


def test_nobody_but_a_registered_enforcer_sees_a_request(running: Running) -> None:
    request = running.opened()
    for stranger in (
        Caller("default", "other", running.caller.key),
        Caller("elsewhere", ENFORCER, running.caller.key),
    ):
        with pytest.raises(Unauthenticated):
            status.status(running.service, stranger, request)
        with pytest.raises(Unauthenticated):
            cancel(running.service, stranger, request)


def test_the_caller_withdraws(running: Running) -> None:
    request = running.opened()
    assert cancel(running.service, running.caller, request).state is State.CANCELLED
    with pytest.raises(TransitionError):
        running.decide("ada", request)
    with pytest.raises(TransitionError):
        cancel(running.service, running.caller, request)
    assert expire.expire(running.service) == 0


def test_the_verdict_names_the_bundle_that_gave_it(running: Running) -> None:
    files = bundle_files(
        running.enforcer_key.public_jwk(),
        agents_yaml="agents: {}\n",
    )
    version = activate(running.service, tenant="default", files=files, by="ops")
    answer = running.submit()
    assert isinstance(answer, Denied)
    assert answer.code == "no_agent"
    with running.service.store.read() as tx:
        verdict = tx.verdicts.get(tenant="default", verdict_id=answer.id)
    assert verdict is not None
    assert verdict.bundle == version


def test_a_call_holds_so_many_values_and_no_more(running: Running) -> None:
    """What each value costs to check and show is a person's patience and the service's time."""
    most = running.service.settings.max_values
    fits: dict[str, Any] = {"to": ["x"] * (most - 3)}
    answer = running.submit(args=fits)
    assert isinstance(answer, Denied)
    assert answer.code == "args_schema"
    before = staged_types(running)
    with pytest.raises(AdmissionError) as refusal:
        running.submit(args={"to": ["x"] * (most - 2), "memo": ""})
    assert (refusal.value.code, refusal.value.place) == ("too_many_values", "/call/args")
    assert staged_types(running) == before
