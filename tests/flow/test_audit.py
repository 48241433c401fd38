"""State can be rebuilt from the log: where the database holds another, that is found."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from approvals import log
from approvals.flow import status
from approvals.flow.asking import cancel
from approvals.flow.asking.answers import Allowed
from approvals.flow.auditing import audit
from approvals.flow.granting import consume, report

if TYPE_CHECKING:
    from tests.service import Running


def found(running: Running) -> list[tuple[str, str, str]]:
    return sorted((it.code, it.place, it.message) for it in audit.audit(running.service))


def sequence(running: Running) -> None:
    log.sequence(running.service.store, running.service.keys, now=int(time.time()))


def spent(running: Running) -> str:
    """A request that was approved, spent and reported."""
    request = running.opened("600.00")
    running.decide("ada", request)
    running.decide("ben", request)
    call_hash = status.status(running.service, running.caller, request).call_hash
    jti = "apr_" + request[4:]
    consume.consume(running.service, running.caller, jti, call_hash=call_hash, use_id="u")
    report.report(running.service, running.caller, jti, status="ok")
    return request


def change(running: Running, statement: str) -> None:
    with running.service.store.begin() as tx:
        tx.session.execute(text(statement))


def test_every_state_is_rebuilt_whether_its_events_have_their_place_or_wait(
    running: Running,
) -> None:
    assert found(running) == []
    spent(running)
    running.decide("ada", running.opened("601.00"), "deny")
    sequence(running)
    cancel.cancel(running.service, running.caller, running.opened("602.00"))
    running.decide("ada", running.opened("603.00"))
    assert isinstance(running.submit("acc-1", tool="balance"), Allowed)
    assert found(running) == []
    sequence(running)
    assert found(running) == []


@pytest.mark.parametrize("placed", [True, False], ids=["placed", "in line"])
def test_a_state_that_no_leaf_tells_is_found(running: Running, *, placed: bool) -> None:
    request = running.opened()
    if placed:
        sequence(running)
    change(running, "UPDATE request SET state = 'approved'")
    assert found(running) == [
        ("row_altered", f"request {request}", "is not as the service wrote it: its seal is broken"),
        ("row_differs", f"request {request}", "state is 'approved', the log tells 'pending'"),
    ]


def test_a_spending_that_was_taken_back_is_found(running: Running) -> None:
    request = spent(running)
    change(running, "DELETE FROM outcome")
    change(running, "DELETE FROM spend")
    jti = "apr_" + request[4:]
    assert found(running) == [
        ("row_missing", f"outcome {jti}", "the log tells of it"),
        ("row_missing", f"spend {jti}", "the log tells of it"),
    ]


def test_what_the_database_lost_or_the_log_never_told_is_found(running: Running) -> None:
    request = running.opened()
    sequence(running)
    change(running, "DELETE FROM seat")
    change(running, "DELETE FROM request_text")
    change(running, "DELETE FROM request_text")
    change(running, "DELETE FROM request")
    assert found(running) == [
        ("row_missing", f"request {request}", "the log tells of it"),
        ("row_missing", f"request_text {request}", "the log tells of it"),
    ]
