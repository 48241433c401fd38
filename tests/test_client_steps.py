"""What a client does while the service goes away, loses an answer, or moves to another replica."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from typing import TYPE_CHECKING

import pytest

from approvals.client import Approved, OutcomeUnknown, ServiceAway, ServiceError, plans
from approvals.client.steps import Pause, Send
from tests.clients import PENDING, WHO, Scripted
from tests.company import CALL
from tests.test_client import give, serving

if TYPE_CHECKING:
    from approvals.client.steps import Step
    from tests.test_client import Handler

APPROVED = json.dumps({"id": "req_x", "state": "approved", "approval": "t"}).encode()


def refusal(code: str) -> ServiceError:
    return ServiceError("no", code=code, status=409)


def problem(code: str) -> bytes:
    return json.dumps({"code": code, "detail": "d"}).encode()


RECEIPT = json.dumps({"receipt": "r"}).encode()
LOST, AWAY = OutcomeUnknown("lost"), ServiceAway("away")


def test_a_lost_answer_is_asked_for_again_under_the_same_key() -> None:
    it = Scripted(LOST, AWAY, LOST, AWAY, RECEIPT)
    assert it.run(plans.consume("apr_x", call_hash="h", use_id="u")) == "r"
    assert len({json.dumps(dict(sent.body or {})) for sent in it.sent}) == 1
    allowed = json.dumps({"decision": "allow", "id": "vrd_x", "approval": "t"}).encode()
    it = Scripted(LOST, AWAY, AWAY, AWAY, AWAY, allowed)
    it.run(plans.submit(CALL, **WHO))
    assert len({sent.headers["Idempotency-Key"] for sent in it.sent}) == 1


def test_what_stays_unknown_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "PATIENCE", 1.0)
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    class Passing(Scripted):
        def __call__(self, step: Step) -> bytes:
            now[0] += step.seconds if isinstance(step, Pause) else 0.2
            return super().__call__(step)

    # However it ends: an earlier answer was lost, so it may have been done.
    it = Passing(LOST, *[AWAY] * 20)
    with pytest.raises(OutcomeUnknown):
        it.run(plans._insistently(Send(method="POST", path="/"), patience=3.0))
    assert 3 <= len(it.sent) < 15
    it = Passing(*[AWAY] * 20)
    with pytest.raises(ServiceAway) as away:
        it.run(plans._insistently(Send(method="POST", path="/"), patience=3.0))
    assert away.value.code == "service_away"
    assert len(it.sent) == plans.ATTEMPTS


def test_a_withdrawal_whose_answer_was_lost_was_made() -> None:
    cancelled = json.dumps({"id": "req_x", "state": "cancelled"}).encode()
    it = Scripted(LOST, refusal("not_pending"), cancelled)
    it.run(plans.cancel("req_x"))
    # Without a lost answer somebody else was first, and so it is where people decided meanwhile.
    with pytest.raises(ServiceError):
        Scripted(refusal("not_pending")).run(plans.cancel("req_x"))
    with pytest.raises(ServiceError):
        Scripted(LOST, refusal("not_pending"), APPROVED).run(plans.cancel("req_x"))


def test_a_wait_goes_on_at_the_next_replica() -> None:
    stopping = ServiceAway("stopping", retry_after=1.0)
    it = Scripted(stopping, LOST, PENDING, stopping, APPROVED)
    assert it.run(plans.wait("req_x", timeout=60)) == Approved("req_x", "t")
    assert all(1.0 <= pause <= 1.25 for pause in (it.paused[0], it.paused[3]))


def test_nobody_waits_longer_than_they_said() -> None:
    it = Scripted(ServiceAway("stopping", retry_after=61.0))
    with pytest.raises(ServiceAway):
        it.run(plans.wait("req_x", timeout=60))
    assert it.paused == []
    it = Scripted(ServiceAway("stopping", retry_after=3600.0))
    with pytest.raises(ServiceAway):
        it.run(plans.consume("apr_x", call_hash="h", use_id="u"))
    assert len(it.sent) == 1


def test_a_service_that_asks_for_no_pause_is_not_hammered() -> None:
    it = Scripted(*[ServiceAway("x", retry_after=0.0)] * 5, APPROVED)
    it.run(plans.wait("req_x", timeout=600))
    least = [0.1, 0.4, 1.6, 5.0, 5.0]
    assert all(a <= b <= a * 1.25 for a, b in zip(least, it.paused, strict=True))


@pytest.mark.parametrize(
    ("status", "body", "header", "kind", "wish"),
    [
        (503, problem("unavailable"), "2", ServiceAway, 2.0),
        (503, problem("outcome_unknown"), "1", OutcomeUnknown, 1.0),
        (503, b"<html>", None, OutcomeUnknown, None),
        (502, b"", None, OutcomeUnknown, None),
        (504, b"", "Wed, 21 Oct 2026 07:28:00 GMT", OutcomeUnknown, None),
        (503, problem("unavailable"), "-1", ServiceAway, None),
        (503, problem("unavailable"), "9" * 400, ServiceAway, None),
        (503, problem("unavailable"), "\u00b2", ServiceAway, None),
    ],
)
def test_what_an_answer_says_about_asking_again(
    status: int, body: bytes, header: str | None, kind: type[ServiceAway], wish: float | None
) -> None:
    headers = {} if header is None else {"Retry_After": header}
    with serving(give(status, body, **headers)) as server, server.client() as client:
        with pytest.raises(ServiceAway) as away:
            client.look("req_x")
        assert type(away.value) is kind
        assert away.value.retry_after == wish


def test_over_real_connections_a_wait_goes_on_when_they_are_lost() -> None:
    def lost(handler: Handler) -> None:
        handler.close_connection = True
        handler.connection.shutdown(socket.SHUT_RDWR)

    stopping = give(503, problem("unavailable"), Retry_After="0")
    for asynchronous in (False, True):
        answers = [lost, stopping, give(200, PENDING), lost, give(200, APPROVED)]

        def next_answer(handler: Handler) -> None:
            answers.pop(0)(handler)  # noqa: B023 - of this round

        with serving(next_answer) as server, server.client() as client:
            if asynchronous:
                outcome = asyncio.run(client.asynchronous().wait("req_x", timeout=60))
            else:
                outcome = client.wait("req_x", timeout=60)
        assert outcome == Approved("req_x", "t")
        assert answers == []
