"""Somebody is away: their stand-in decides, the approval says so, and an enforcer can check it."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import orjson
import pytest

from approvals.core import directory as directories
from approvals.core import evidence_file
from approvals.core.calls import ToolCall
from approvals.core.errors import ApprovalRejected, NotFound
from approvals.core.requests import State
from approvals.flow import status
from approvals.flow.auditing.evidence import evidence
from approvals.flow.granting import consume
from approvals.flow.operating.activate import activate
from approvals.flow.people.directory import directory
from approvals.verifier import Verifier
from tests.service import ENFORCER, PEOPLE, TARGET, bundle_files

if TYPE_CHECKING:
    from approvals.core.directory import Directory
    from tests.service import Running

NAME = "cleo"


def published(running: Running) -> Directory:
    """The directory as an enforcer would fetch and pin it."""
    return directories.verify(
        directory(running.service, "default"), keys=running.service.keys.jwks(int(time.time()))
    )


def go_away(running: Running) -> None:
    """A bundle becomes current in which ben is away and cleo stands in for him."""
    today = datetime.now(UTC).date()
    first, last = today - timedelta(days=1), today + timedelta(days=2)
    absent = f"absent: [{{from: {first}, until: {last}, stand_in: {NAME}}}]"
    people = PEOPLE.replace("{name: Ben Silva}", f"{{name: Ben, stand_ins: [{NAME}], {absent}}}")
    assert people != PEOPLE
    key = running.enforcer_key.public_jwk()
    activate(
        running.service, tenant="default", files=bundle_files(key, people_yaml=people), by="ops"
    )


def test_a_stand_in_decides_and_the_approval_holds_everywhere(running: Running) -> None:
    running.enrol(NAME)
    before = published(running)
    go_away(running)
    request = running.opened()
    running.decide("ada", request)
    assert running.decide(NAME, request) is State.APPROVED
    told = status.status(running.service, running.caller, request)
    assert told.approval is not None

    def verify(people: Directory) -> None:
        now = int(time.time())
        verifier = Verifier(
            issuer=running.service.settings.url,
            audience=ENFORCER,
            keys=running.service.keys.jwks(now),
            people=people,
        )
        call = ToolCall(TARGET, "transfer", {"amount": "750.00", "to": "vendor@example.com"})
        approval = verifier.verify(str(told.approval), call, now=now).approval
        assert approval.request is not None
        assert approval.request.requirements[0].stand_ins == ((NAME, "ben"),)

    verify(published(running))
    # An enforcer that pinned its directory before cleo was listed does not take her for ben.
    with pytest.raises(ApprovalRejected) as caught:
        verify(before)
    assert caught.value.reason == "quorum"
    jti = "apr_" + request[4:]
    consume.consume(running.service, running.caller, jti, call_hash=told.call_hash, use_id="u")
    findings = evidence_file.verify(
        orjson.dumps(evidence(running.service, running.caller, request)),
        jwks=running.service.keys.jwks(int(time.time())),
        vkeys=[running.service.keys.vkey],
        directory=published(running),
        issuer=running.service.settings.url,
    )
    assert [found for found in findings if not found.ok] == []


def test_whoever_is_away_is_not_asked(running: Running) -> None:
    open_before = running.opened("750.00")
    go_away(running)
    running.enrol(NAME)
    # A request keeps the people it was opened with.
    assert running.decide("ben", open_before) is State.PENDING
    since = running.opened("751.00")
    with pytest.raises(NotFound):
        running.decide("ben", since)
    assert running.decide(NAME, since, "deny", "not this one") is State.DENIED
