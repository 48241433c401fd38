from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from sqlalchemy import text

from approvals import log
from approvals.core import b64, evidence_file
from approvals.core.decision.ceremony import Decision
from approvals.core.errors import Conflict, ProofError, Unavailable
from approvals.core.evidence_file import EvidenceFile, completeness
from approvals.core.history.leaves import parse_leaf
from approvals.core.jws import KeySet
from approvals.core.merkle import leaf_hash
from approvals.core.requests import State
from approvals.core.tlog.published import FetchedLog
from approvals.core.tlog.tiles import read_entry_bundle
from approvals.flow import status
from approvals.flow.asking import cancel
from approvals.flow.asking.answers import Allowed
from approvals.flow.auditing.evidence import evidence
from approvals.flow.deciding import clicks
from approvals.flow.granting import consume, report
from approvals.flow.operating.activate import activate
from approvals.flow.people.directory import directory
from approvals.flow.telling.follow import follow
from tests.service import RULES, TOOLS, bundle_files

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
        issuer=running.service.settings.url,
    )
    assert len(findings) > 9
    return {found.step: f"{found.detail} ({found.place})" for found in findings if not found.ok}


def test_evidence_of_a_last_vote_that_gave_no_approval_holds(running: Running) -> None:
    request = running.opened()
    running.decide("ada", request)
    public = running.enforcer_key.public_jwk()
    tools = TOOLS.replace("title: Transfer money", "title: Send money")
    activate(
        running.service, tenant="default", files=bundle_files(public, tools_yaml=tools), by="ops"
    )
    assert running.decide("ben", request) is State.REVOKED
    assert check(running, request) == {}


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


def file_of(running: Running, subject: str) -> dict[str, Any]:
    read: dict[str, Any] = orjson.loads(
        orjson.dumps(evidence(running.service, running.caller, subject))
    )
    return read


def wrong(
    running: Running, file: dict[str, Any], *, log_too: bool = False, pinned: bool = True
) -> tuple[list[str], set[str]]:
    """The steps that do not hold, and what is not shown."""
    service = running.service
    with service.store.read() as tx:
        size = tx.log.leaf_count()
        whole = FetchedLog(
            checkpoint=log.checkpoint(tx), leaves=read_entry_bundle(log.entries(tx, 0, size))
        )
    findings = evidence_file.verify(
        orjson.dumps(file),
        jwks=service.keys.jwks(int(time.time())),
        vkeys=[service.keys.vkey],
        directory=directory(service, "default") if pinned else None,
        log=whole if log_too else None,
    )
    unshown = {place for found in findings for place in found.unshown}
    return [found.step for found in findings if not found.ok], unshown


def without(file: dict[str, Any], *kinds: str) -> dict[str, Any]:
    """The file without its events of these types."""
    kept = [
        one for one in file["events"] if parse_leaf(b64.decode(one["leaf"])).event.TYPE not in kinds
    ]
    assert len(kept) == len(file["events"]) - len(kinds)
    return {**file, "events": kept}


def resigned(running: Running, file: dict[str, Any]) -> dict[str, Any]:
    """The file with a new statement that it is complete, by the service's own key."""
    service = running.service
    said = completeness.read(file["complete"], keys=KeySet.from_jwks(service.keys.jwks(0)))
    last = b64.decode(file["events"][-1]["leaf"])
    content = EvidenceFile.from_document(file).content_digest()
    said = replace(said, events=len(file["events"]), head=leaf_hash(last), content=content)
    return {**file, "complete": completeness.sign(said, key=service.keys.signer(int(time.time())))}


def clicking(running: Running) -> None:
    """Small payments may be decided by a click."""
    rules = RULES.replace('@quorum("1") @step_up("passkey")', '@quorum("1") @step_up("session")')
    assert rules != RULES
    files = bundle_files(running.enforcer_key.public_jwk(), policies_payments_cedar=rules)
    activate(running.service, tenant="default", files=files, by="ops")


def test_a_denials_reason_is_not_rewritten_by_stripping_its_opening(running: Running) -> None:
    request = running.opened()
    running.decide("ada", request, "deny", "The invoice is a forgery")
    file = file_of(running, request)
    file["votes"][0]["reason"] = "Fine by me, try again later"
    assert wrong(running, file)[0] == ["story", "complete"]
    for one in file["events"]:
        one["opening"].pop("reason", None)
    unshown = {"events[1].reason", "votes[0].reason"}
    assert wrong(running, file) == (["complete"], unshown)
    assert wrong(running, resigned(running, file)) == ([], unshown)


def test_a_click_is_not_given_to_another_person(running: Running) -> None:
    clicking(running)
    request = running.opened("20.00")
    clicks.click(
        running.service,
        running.session("ben"),
        request,
        Decision.DENY,
        reason="no",
        channel="slack",
    )
    file = file_of(running, request)
    file["votes"][0]["approver"] = "ada"
    assert wrong(running, file)[0] == ["story", "complete"]
    for one in file["events"]:
        one["opening"].pop("approver", None)
    unshown = {"events[1].approver", "votes[0].approver"}
    assert wrong(running, file) == (["complete"], unshown)
    assert wrong(running, resigned(running, file)) == ([], unshown)


@pytest.mark.parametrize(
    ("left_out", "kinds"),
    [
        ("use", ("approval.consumed", "outcome.reported")),
        ("outcome", ("outcome.reported",)),
        ("denial", ("vote.deny", "request.denied")),
        ("withdrawal", ("request.cancelled",)),
    ],
)
def test_what_happened_last_is_not_left_out(
    running: Running, left_out: str, kinds: tuple[str, ...]
) -> None:
    """By the service's statement; and by the log itself, were the statement made to say so too."""
    request = running.opened()
    running.decide("ada", request)
    if left_out == "denial":
        running.decide("ben", request, "deny", "no!")
    elif left_out == "withdrawal":
        cancel.cancel(running.service, running.caller, request)
    else:
        running.decide("ben", request)
        call_hash = status.status(running.service, running.caller, request).call_hash
        jti = "apr_" + request[4:]
        consume.consume(running.service, running.caller, jti, call_hash=call_hash, use_id="u")
        report.report(running.service, running.caller, jti, status="error")
    whole = file_of(running, request)
    assert wrong(running, whole, log_too=True) == ([], set())
    file = without(whole, *kinds)
    match left_out:
        case "use":
            file |= {"receipt": None, "outcome": None}
        case "outcome":
            file |= {"outcome": None}
        case "denial":
            file["votes"] = file["votes"][:1]
        case _:
            pass
    assert wrong(running, file)[0] == ["complete"]
    lied = resigned(running, file)
    assert wrong(running, lied)[0] == []
    assert wrong(running, lied, log_too=True)[0] == ["log"]


def test_what_came_after_the_file_is_named_where_the_log_is_at_hand(running: Running) -> None:
    request = running.opened()
    running.decide("ada", request)
    file = file_of(running, request)
    cancel.cancel(running.service, running.caller, request)
    newer = file_of(running, request)
    assert wrong(running, file) == ([], set())
    steps, unshown = wrong(running, file, log_too=True)
    assert steps == []
    assert [each.split(" ")[2] for each in unshown] == ["(request.cancelled)"]
    assert wrong(running, newer, log_too=True) == ([], set())


def test_another_log_does_not_show_that_a_file_is_complete(running: Running) -> None:
    """A log cut off before the file's checkpoint, and one with a leaf changed."""
    request = running.opened()
    file = file_of(running, request)
    service = running.service
    with service.store.read() as tx:
        note = log.checkpoint(tx)
        leaves = read_entry_bundle(log.entries(tx, 0, tx.log.leaf_count()))
    for other in (leaves[:-1], [*leaves[:-1], leaves[0]], [*leaves, leaves[0]], leaves[::-1], []):
        findings = evidence_file.verify(
            orjson.dumps(file),
            jwks=service.keys.jwks(int(time.time())),
            vkeys=[service.keys.vkey],
            log=FetchedLog(checkpoint=note, leaves=other),
        )
        assert [found.step for found in findings if not found.ok] == ["log"]


def test_parts_of_two_files_of_one_service_do_not_make_one(running: Running) -> None:
    files = []
    for _ in range(2):
        request = running.opened()
        running.decide("ada", request)
        running.decide("ben", request)
        call_hash = status.status(running.service, running.caller, request).call_hash
        jti = "apr_" + request[4:]
        consume.consume(running.service, running.caller, jti, call_hash=call_hash, use_id=request)
        files.append(file_of(running, request))
    first, second = files[0] | {}, files[1]
    assert wrong(running, second) == ([], set())
    for member, theirs in second.items():
        if first[member] != theirs:
            assert wrong(running, {**first, member: theirs})[0], member
    assert wrong(running, {**first, "votes": first["votes"][::-1]})[0]


def test_the_service_does_not_say_that_what_was_cut_off_is_complete(running: Running) -> None:
    """Somebody with the database takes the last event away, or files it under another subject."""
    request = running.opened()
    running.decide("ada", request, "deny", "no")
    assert check(running, request) == {}
    for statement in (
        'UPDATE leaf SET subject = \'req_other\' WHERE "index" = (SELECT max("index") FROM leaf)',
        'DELETE FROM leaf WHERE "index" = (SELECT max("index") FROM leaf)',
    ):
        with running.service.store.begin() as tx:
            tx.session.execute(text(statement))
        with pytest.raises((Conflict, ProofError, Unavailable)):
            evidence(running.service, running.caller, request)
