"""State can be rebuilt from the log: where the database holds another, that is found."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from approvals import log
from approvals.flow import audit, cancel, consume, report, status
from approvals.flow.submit import Allowed

if TYPE_CHECKING:
    from tests.service import Running


def found(running: Running) -> list[tuple[str, str, str]]:
    return [(it.code, it.place, it.message) for it in audit.audit(running.service)]


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
        ("state_differs", request, "the log tells pending, the database holds approved")
    ]


def test_a_spending_that_was_taken_back_is_found(running: Running) -> None:
    request = spent(running)
    change(running, "DELETE FROM outcome")
    change(running, "DELETE FROM spend")
    assert found(running) == [
        ("state_differs", "apr_" + request[4:], "the log tells spent, the database holds live")
    ]


def test_what_the_database_lost_or_the_log_never_told_is_found(running: Running) -> None:
    request = running.opened()
    sequence(running)
    change(running, "DELETE FROM seat")
    change(running, "DELETE FROM request_text")
    change(running, "DELETE FROM request")
    assert found(running) == [
        ("state_differs", request, "the log tells pending, the database holds nothing")
    ]


def test_a_change_between_two_looks_is_no_difference(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on PostgreSQL, where a statement sees what was committed after the one before it."""
    request = running.opened()
    looks: list[int] = []
    leaves = audit._leaves

    def late(tx: object) -> object:
        looks.append(1)
        if len(looks) == 1:
            running.decide("ada", request, "deny")
            with running.service.store.read() as later:
                return iter([*leaves(later)])
        return leaves(tx)  # type: ignore[arg-type]  # the transaction

    monkeypatch.setattr(audit, "_leaves", late)
    assert found(running) == []
    assert len(looks) == 2
