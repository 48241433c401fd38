"""The enforcer's check: a rejection says what does not hold, and where."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from approvals.core import b64
from approvals.core.approval import Approval, Basis
from approvals.core.calls import ToolCall, call_hash
from approvals.core.decision.ceremony import StepUp
from approvals.core.errors import AssentError
from approvals.verifier import ApprovalRejected, Verifier
from tests.company import AUDIENCE, CALL, ISSUER, NOW, TWO_FROM_FINANCE, digest_of
from tests.verifying import COMPANY, HUMAN, PINNED, accepted, put, resigned, verifier, with_votes

VOTE = ("approvals", 0)


@pytest.mark.parametrize(
    ("path", "value", "place"),
    [
        ((*VOTE, "statement", "decision"), "deny", "approvals[0].statement.decision"),
        ((*VOTE, "statement", "approver"), "ben", "approvals[0].statement.approver"),
        ((*VOTE, "statement", "request"), "req_" + "b" * 26, "approvals[0].statement.request"),
        (
            (*VOTE, "statement", "request_digest"),
            digest_of("another"),
            "approvals[0].statement.request_digest",
        ),
        (
            (*VOTE, "statement", "call_hash"),
            digest_of("another"),
            "approvals[0].statement.call_hash",
        ),
        (
            (*VOTE, "statement", "display_digest"),
            digest_of("another"),
            "approvals[0].statement.display_digest",
        ),
        ((*VOTE, "evidence", "credential_id"), "AAAA", "approvals[0].evidence.credential_id"),
        ((*VOTE, "evidence", "signature"), "AAAA", "approvals[0].evidence"),
        (("request", "user"), "someone", "request_digest"),
    ],
)
def test_a_rejection_says_where_the_evidence_does_not_hold(
    path: tuple[str | int, ...], value: str, place: str
) -> None:
    claims = put(HUMAN, path, value)
    with pytest.raises(ApprovalRejected) as caught:
        PINNED.verify(resigned(claims), CALL, now=NOW, precondition="etag")
    assert (caught.value.reason, caught.value.place) == ("evidence", place)


def place_of(approval: Approval, expected: str, *, by: Verifier = PINNED) -> str | None:
    with pytest.raises(ApprovalRejected) as caught:
        by.verify(COMPANY.token(approval), CALL, now=NOW)
    assert caught.value.reason == expected
    return caught.value.place


@pytest.mark.parametrize(
    ("claimed", "expected", "place"),
    [
        ({"issuer": "other"}, "issuer", "iss"),
        ({"audience": "other"}, "audience", "aud"),
        ({"tenant": "other"}, "tenant", "tenant"),
        ({"expires": NOW + 10**4}, "lifetime", "exp"),
        ({"issued": NOW + 60, "not_before": NOW + 60}, "not_yet_valid", "nbf"),
        ({"issued": NOW - 90, "not_before": NOW - 90, "expires": NOW - 60}, "expired", "exp"),
        ({"tool": "other"}, "call_mismatch", "authorization_details[0].identifier"),
        ({"target": "https://x.example"}, "call_mismatch", "authorization_details[0].locations"),
        (
            {"call_hash": digest_of("other")},
            "call_mismatch",
            "authorization_details[0].call_hash",
        ),
        ({"precondition": "etag"}, "precondition", "precondition"),
        ({"jti": "abc"}, "malformed", "approval.jti"),
    ],
)
def test_a_rejection_names_the_claim(claimed: dict[str, Any], expected: str, place: str) -> None:
    assert place_of(replace(COMPANY.approval(), **claimed), expected) == place


def test_a_rejection_names_the_agent_the_user_the_basis_and_the_signature() -> None:
    token = COMPANY.token(COMPANY.approval())
    found = []
    for sent, pinned in (
        (token, {"agent": "other"}),
        (token, {"user": "other"}),
        (COMPANY.token(COMPANY.allowed()), {}),
        (token[:-8] + "A" * 8, {}),
    ):
        with pytest.raises(ApprovalRejected) as caught:
            PINNED.verify(sent, CALL, now=NOW, **pinned)
        found.append((caught.value.reason, caught.value.place))
    assert found == [
        ("agent_mismatch", "act.sub"),
        ("user_mismatch", "sub"),
        ("basis", "basis"),
        ("signature", "signature"),
    ]


def test_a_rejection_says_which_vote_does_not_hold() -> None:
    known = COMPANY.directory
    left = replace(known, people=tuple(it for it in known.people if it.id != "ben"))
    approval = COMPANY.approval()
    found = place_of(approval, "evidence", by=verifier(people=left))
    assert found == "approvals[1].approver"
    ada, ben = approval.approvals
    assert ben.statement is not None
    later = replace(ben.statement, iat=NOW + 21, exp=NOW + 200)
    for wrong, place in (
        (replace(ben, acr=StepUp.PASSKEY), "approvals[1].acr"),
        (replace(ben, acr=StepUp.SESSION, statement=None, evidence=None), "approvals[1]"),
        (replace(ben, time=NOW + 21), "approvals[1].time"),
        (replace(ben, statement=later), "approvals[1].statement.iat"),
    ):
        assert place_of(with_votes(approval, ada, wrong), "evidence") == place


def test_a_rejection_says_where_the_quorum_fails() -> None:
    approval = COMPANY.approval()
    ada, ben = approval.approvals
    for votes, place in (
        ((ada, ada), "approvals[1].approver"),
        ((ada, replace(ben, requirement="other")), "approvals[1].requirement"),
        ((ada,), "approvals"),
    ):
        assert place_of(with_votes(approval, *votes), "quorum") == place
    own = COMPANY.approval(COMPANY.request(user="ben"))
    assert place_of(own, "quorum") == "approvals[1].approver"
    left_out = COMPANY.request(replace(TWO_FROM_FINANCE, eligible=("ada", "cleo")))
    assert place_of(COMPANY.approval(left_out), "quorum") == "approvals[1]"


@pytest.mark.parametrize(
    ("name", "claimed"),
    [
        ("user", {"user": "someone"}),
        ("agent", {"agent": "someone"}),
        ("bundle", {"bundle": digest_of("old bundle")}),
        ("requirements", {"rules": ("another",)}),
    ],
)
def test_a_rejection_says_which_claim_was_never_asked(name: str, claimed: dict[str, Any]) -> None:
    assert place_of(COMPANY.approval(**claimed), "evidence") == f"request.{name}"


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("audience", {"audience": "other-gateway"}),
        ("tenant", {"tenant": "other"}),
        ("precondition", {"precondition": "etag"}),
        ("call_hash", {"call_hash": digest_of("another call")}),
    ],
)
def test_a_rejection_says_what_was_asked_otherwise(name: str, asked: dict[str, Any]) -> None:
    approval = COMPANY.approval(COMPANY.request(**asked))
    claimed = {name: getattr(COMPANY.approval(), name)}
    assert place_of(replace(approval, **claimed), "evidence") == f"request.{name}"


def test_an_approval_is_issued_from_the_first_second_of_its_request() -> None:
    document = COMPANY.request(created=NOW - 20)
    times: dict[str, Any] = {"issued": NOW - 20, "not_before": NOW - 20}
    accepted(COMPANY.token(COMPANY.approval(document, **times)))
    document = COMPANY.request(created=NOW - 19)
    assert place_of(COMPANY.approval(document, **times), "evidence") == "exp"


@pytest.mark.parametrize(
    ("created", "expires", "place"),
    [
        (NOW - 20, NOW + 840, None),
        (NOW - 19, NOW + 840, "approvals[0].statement.iat"),
        (NOW - 60, NOW - 19, None),
        (NOW - 60, NOW - 20, "approvals[0].statement.iat"),
    ],
)
def test_a_statement_is_made_from_the_first_to_the_last_second_of_its_request(
    created: int, expires: int, place: str | None
) -> None:
    document = COMPANY.request(created=created, expires=expires)
    token = COMPANY.token(COMPANY.approval(document))
    if place is None:
        accepted(token)
        return
    with pytest.raises(ApprovalRejected) as caught:
        PINNED.verify(token, CALL, now=NOW)
    assert (caught.value.reason, caught.value.place) == ("evidence", place)


def test_a_rejection_says_what_was_expected_and_what_came_and_repeats_no_argument() -> None:
    token = COMPANY.token(COMPANY.approval())
    for options, known, expected, got in (
        ({"issuer": "https://b.example", "people": None}, {}, "https://b.example", ISSUER),
        ({"audience": "other"}, {}, "other", AUDIENCE),
        ({"tenant": "t2", "people": None}, {}, "t2", "default"),
        ({}, {"agent": "a2"}, "a2", "billing-agent"),
        ({}, {"user": "u2"}, "u2", "uma"),
    ):
        with pytest.raises(ApprovalRejected) as caught:
            verifier(**options).verify(token, CALL, now=NOW, **known)
        assert f"expected {expected!r}, got {got!r}" in caught.value.message
    changed = ToolCall(CALL.target, CALL.tool, {**CALL.args, "to": "thief@example.com"})
    with pytest.raises(ApprovalRejected) as caught:
        PINNED.verify(token, changed, now=NOW)
    assert "the arguments are not" in caught.value.message
    assert "thief" not in str(caught.value)
    assert "vendor" not in str(caught.value)


def test_a_rejection_is_one_of_our_errors_and_says_where() -> None:
    with pytest.raises(AssentError) as caught:
        PINNED.verify(COMPANY.token(COMPANY.approval(audience="other")), CALL, now=NOW)
    assert isinstance(caught.value, ApprovalRejected)
    assert (caught.value.reason, caught.value.place) == ("audience", "aud")
    assert Basis.HUMAN.value == "human"
    assert b64.decode(call_hash(CALL))
