"""A service whose database has rows in every table, each written by the service itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from approvals import log
from approvals.core.ceremony import Decision
from approvals.flow import chat, consume, enrol, report, sight, signin, submit, vote
from approvals.flow.activate import activate
from approvals.flow.status import status
from tests.service import PEOPLE, bundle_files, start

if TYPE_CHECKING:
    from pathlib import Path

    from tests.service import Running


def populated(home: Path, database: str, **settings: Any) -> Running:
    """At least two rows in each table that grants something, and most of their states."""
    running = start(home, database, people=("ada", "ben", "cleo"), **settings)
    service = running.service
    files = bundle_files(running.enforcer_key.public_jwk())
    activate(service, tenant="default", files={**files, "people.yaml": PEOPLE + "\n"}, by="cleo")
    for number in (1, 2):
        spent(running, running.opened(f"{number}.00", idempotency_key=f"spent {number}"))
        allowed = running.submit(f"account {number}", tool="balance")
        assert isinstance(allowed, submit.Allowed)
        denied = running.submit(f"{number}00000.00")
        assert isinstance(denied, submit.Denied)
    running.decide("ben", running.opened("3.00"), "deny", reason="Not this one")
    running.decide("ada", running.opened("800.00"))
    running.decide("ada", running.opened("5.00"))
    running.opened("6.00")
    for person, account in (("ada", "U1"), ("ben", "U2")):
        begun = chat.begin_link(service, running.session(person))
        credential = running.passkeys[person].authenticate(begun.options)
        code = chat.start_link(service, running.session(person), "slack", begun.id, credential)
        chat.finish_link(service, channel="slack", team="T", account=account, code=code.code)
        signin.begin(service)
        enrol.invite(service, tenant="default", person=person)
    waits = running.opened("7.00")
    sight.seen(service, running.session("ada"), waits)
    vote.begin(service, running.session("ada"), waits, Decision.APPROVE)
    with service.store.read() as tx:
        now = tx.now
    while log.sequence(service.store, service.keys, now=now) == log.BATCH:
        pass
    # These wait in line: nobody gives them their place.
    spent(running, running.opened("8.00"))
    return running


def spent(running: Running, request_id: str) -> str:
    """Approve a request and spend the approval; gives its id."""
    running.decide("ada", request_id)
    told = status(running.service, running.caller, request_id)
    jti = "apr_" + request_id.removeprefix("req_")
    consume.consume(
        running.service, running.caller, jti, call_hash=told.call_hash, use_id=f"use {jti}"
    )
    report.report(running.service, running.caller, jti, status="ok", output_hash="A" * 43)
    return jti
