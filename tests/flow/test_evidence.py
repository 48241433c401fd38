from __future__ import annotations

import time
from typing import TYPE_CHECKING

import orjson
import pytest

from approvals import log
from approvals.core import evidence_file
from approvals.core.errors import Conflict
from approvals.flow import cancel, consume, report, status
from approvals.flow.activate import activate
from approvals.flow.directory import directory
from approvals.flow.evidence import evidence
from approvals.flow.follow import follow
from approvals.flow.submit import Allowed
from tests.service import RULES, bundle_files

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.service import Running


def check(running: Running, subject: str) -> dict[str, str]:
    """What does not hold in the evidence of `subject`, by step."""
    file = evidence(running.service, running.caller, subject)
    findings = evidence_file.verify(
        orjson.dumps(file),
        jwks=running.service.keys.jwks(int(time.time())),
        vkeys=[running.service.keys.vkey],
        directory=directory(running.service, "default"),
        issuer=running.service.settings.issuer,
    )
    assert len(findings) > 9
    return {found.step: f"{found.detail} ({found.place})" for found in findings if not found.ok}


def test_evidence_of_a_spent_approval_holds(running: Running) -> None:
    request = running.opened(explanation="because")
    running.opened()
    running.decide("ada", request)
    running.decide("ben", request)
    assert check(running, request) == {}
    call_hash = status.status(running.service, running.caller, request).call_hash
    jti = "apr_" + request[4:]
    consume.consume(running.service, running.caller, jti, call_hash=call_hash, use_id="u")
    assert check(running, request) == {}
    report.report(running.service, running.caller, jti, status="ok", output_hash=call_hash)
    assert check(running, request) == {}


@pytest.mark.parametrize("end", ["deny", "cancel", "pending"])
def test_evidence_of_a_request_that_was_not_approved_holds(running: Running, end: str) -> None:
    request = running.opened()
    running.decide("ada", request)
    if end == "deny":
        running.decide("ben", request, "deny", "no")
    if end == "cancel":
        cancel.cancel(running.service, running.caller, request)
    assert check(running, request) == {}


def test_evidence_of_a_request_that_was_followed_up_holds(
    running: Running, later: Callable[[int], None]
) -> None:
    """Being reminded of and escalated is told in the log; the file need not say it besides."""
    rules = RULES.replace(
        '@approvers("finance")', '@approvers("finance | managers") @escalate("5m: managers")'
    )
    files = bundle_files(running.enforcer_key.public_jwk(), policies_payments_cedar=rules)
    activate(running.service, tenant="default", files=files, by="ops")
    request = running.opened()
    later(500)
    assert follow(running.service) == 1
    log.sequence(running.service.store, running.service.keys, now=int(time.time()))
    told = evidence(running.service, running.caller, request)["events"]
    assert isinstance(told, list)
    assert len(told) == 3
    assert check(running, request) == {}


def test_evidence_is_not_given_of_what_the_log_does_not_tell_yet(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when somebody decides just after the line was emptied."""
    request = running.opened()
    assert check(running, request) == {}
    running.decide("ada", request)
    with monkeypatch.context() as patch:
        patch.setattr(log, "sequence", lambda *_, **__: 0)
        with pytest.raises(Conflict) as refused:
            evidence(running.service, running.caller, request)
        assert refused.value.code == "not_logged"
    assert check(running, request) == {}


def test_evidence_of_verdicts_that_asked_nobody_holds(running: Running) -> None:
    allowed = running.submit("acc-1", tool="balance")
    assert isinstance(allowed, Allowed)
    refused = running.submit("100000.00")
    assert check(running, allowed.id) == {}
    assert check(running, refused.id) == {}
