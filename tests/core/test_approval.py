"""Approvals as values: claims and token, both ways, and ids that belong to one occasion."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws as joserfc_jws
from joserfc.jwk import KeySet as JoserfcKeySet

from approvals.core import approval as approvals
from approvals.core import jws
from approvals.core.approval import Approval, Basis, Counted
from approvals.core.decision.ceremony import StepUp
from approvals.core.errors import Invalid
from tests.company import CALL, NOW, OCCASION, TWO_FROM_FINANCE, Company

COMPANY = Company()


@pytest.mark.parametrize(
    "approval",
    [
        COMPANY.approval(),
        COMPANY.approval(COMPANY.request(task="t-1", precondition='"7"')),
        COMPANY.allowed(),
        COMPANY.allowed(precondition=""),
    ],
    ids=["human", "human-precondition", "policy", "policy-empty-precondition"],
)
def test_an_approval_reads_back_as_itself(approval: Approval) -> None:
    token = COMPANY.token(approval)
    _, claims = jws.verify(token, keys=COMPANY.jwks, typ=approvals.TOKEN_TYPE)
    assert Approval.from_claims(claims) == approval
    assert Approval.from_claims(claims).claims() == claims


def test_the_claims_are_the_documented_ones() -> None:
    claims: dict[str, Any] = COMPANY.allowed().claims()
    assert claims == {
        "iss": "https://approve.example",
        "aud": "payments-gateway",
        "jti": f"apr_{OCCASION}",
        "iat": NOW - 10,
        "nbf": NOW - 10,
        "exp": NOW + 290,
        "sub": "uma",
        "act": {"sub": "billing-agent"},
        "txn": f"vrd_{OCCASION}",
        "tenant": "default",
        "authorization_details": [
            {
                "type": "urn:assent:tool-call",
                "locations": [CALL.target],
                "actions": ["tools/call"],
                "identifier": CALL.tool,
                "call_hash": claims["authorization_details"][0]["call_hash"],
            }
        ],
        "request_digest": claims["request_digest"],
        "policy": {"bundle": claims["policy"]["bundle"], "rules": ["reads"]},
        "basis": "policy",
        "approvals": [],
        "max_uses": 1,
    }


def test_a_counted_vote_says_how_it_was_made() -> None:
    claims: dict[str, Any] = COMPANY.approval().claims()
    first = claims["approvals"][0]
    assert first["approver"] == "ada"
    assert first["requirement"] == TWO_FROM_FINANCE.rule
    assert (first["acr"], first["amr"]) == ("hardware-passkey", ["hwk", "mfa", "user"])
    assert first["statement"]["typ"] == "assent/decision/1"


def test_a_vote_survives_being_counted() -> None:
    vote = COMPANY.vote("ada", COMPANY.request())
    assert Counted.of(vote, "rule").vote() == vote
    click = replace(vote, step_up=StepUp.SESSION, statement=None, evidence=None)
    assert Counted.of(click, "rule").document()["amr"] == []


def test_a_second_implementation_reads_the_token() -> None:
    approval = COMPANY.approval()
    published: Any = COMPANY.jwks
    keys = JoserfcKeySet.import_key_set(published)
    found = joserfc_jws.deserialize_compact(COMPANY.token(approval), keys)
    assert json.loads(found.payload) == approval.claims()
    assert found.headers() == {
        "alg": "ES256",
        "kid": COMPANY.key.kid,
        "typ": "agent-approval+jwt",
    }


@given(
    suffix=st.text("abcdefghijklmnopqrstuvwxyz234567", min_size=26, max_size=26),
    other=st.text("abcdefghijklmnopqrstuvwxyz234567", min_size=26, max_size=26),
)
def test_one_occasion_has_one_approval_id(suffix: str, other: str) -> None:
    """Law: whatever the occasion, exactly one id goes with it. Would catch a prefix check."""
    claims = COMPANY.allowed(txn=f"vrd_{suffix}", jti=f"apr_{suffix}").claims()
    assert Approval.from_claims(claims).jti == f"apr_{suffix}"
    if other != suffix:
        with pytest.raises(Invalid):
            Approval.from_claims({**claims, "jti": f"apr_{other}"})


@pytest.mark.parametrize(
    ("txn", "jti"),
    [
        (f"req_{OCCASION}", f"apr_{OCCASION}"),  # a request, where nobody was asked
        (f"vrd_{OCCASION.upper()}", f"apr_{OCCASION.upper()}"),
        (f"vrd_{OCCASION}a", f"apr_{OCCASION}a"),
        (f"vrd_{OCCASION}\n", f"apr_{OCCASION}\n"),
        (f"vrd_{OCCASION[:-1]}1", f"apr_{OCCASION[:-1]}1"),
        (f"vrd_vrd_{OCCASION}", f"apr_vrd_{OCCASION}"),
        ("vrd_", "apr_"),
        (f"vrd_{OCCASION}", f"vrd_{OCCASION}"),
        (f"vrd_{OCCASION}", f"apr_ {OCCASION}"),
    ],
)
def test_ids_of_another_form_are_refused(txn: str, jti: str) -> None:
    with pytest.raises(Invalid) as caught:
        Approval.from_claims({**COMPANY.allowed().claims(), "txn": txn, "jti": jti})
    assert caught.value.place in {"approval.txn", "approval.jti"}


def test_a_request_is_there_exactly_where_people_decided() -> None:
    human, allowed = COMPANY.approval(), COMPANY.allowed()
    for wrong in (
        replace(human, request=None),
        replace(allowed, request=human.request),
        replace(allowed, approvals=human.approvals),
        replace(human, basis=Basis.POLICY, txn=f"vrd_{OCCASION}"),
    ):
        with pytest.raises(Invalid) as caught:
            Approval.from_claims(wrong.claims())
        assert caught.value.code == "malformed"


@pytest.mark.parametrize("name", ["iat", "nbf", "exp"])
@pytest.mark.parametrize("value", [-1, 10**12])
def test_a_time_is_in_seconds(name: str, value: int) -> None:
    with pytest.raises(Invalid) as caught:
        Approval.from_claims({**COMPANY.allowed().claims(), name: value})
    assert caught.value.place == f"approval.{name}"


HUMAN: dict[str, Any] = COMPANY.approval().claims()
(DETAIL,) = HUMAN["authorization_details"]
FIRST, SECOND = HUMAN["approvals"]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"basis": "standing"}, "basis"),
        ({"basis": "policy"}, "request"),
        ({"approvals": [FIRST] * 101}, "approvals"),
        ({"max_uses": 2}, "max_uses"),
        ({"txn": "abc"}, "txn"),
        ({"jti": "abc"}, "jti"),
        ({"act": {}}, "act.sub"),
        ({"policy": {"bundle": "b", "rules": [1]}}, "policy.rules[0]"),
        ({"policy": {"bundle": "b"}}, "policy.rules"),
        ({"request_digest": "abc"}, "request_digest"),
        ({"request": {**HUMAN["request"], "typ": "x"}}, "request.typ"),
        ({"authorization_details": []}, "authorization_details"),
        ({"authorization_details": [1]}, "authorization_details[0]"),
        ({"authorization_details": [{**DETAIL, "type": "x"}]}, "authorization_details[0]"),
        (
            {"authorization_details": [{**DETAIL, "locations": []}]},
            "authorization_details[0].locations",
        ),
        (
            {"authorization_details": [{**DETAIL, "locations": [1]}]},
            "authorization_details[0].locations[0]",
        ),
        (
            {"authorization_details": [{**DETAIL, "call_hash": "x"}]},
            "authorization_details[0].call_hash",
        ),
        ({"approvals": [FIRST, 1]}, "approvals[1]"),
        ({"approvals": [FIRST, {**SECOND, "acr": "x"}]}, "approvals[1].acr"),
        ({"approvals": [FIRST, {**SECOND, "amr": []}]}, "approvals[1].amr"),
        ({"approvals": [FIRST, {**SECOND, "statement": None}]}, "approvals[1].evidence"),
        (
            {"approvals": [FIRST, {**SECOND, "statement": None, "evidence": None}]},
            "approvals[1].evidence",
        ),
        ({"approvals": [FIRST, {**SECOND, "time": -1}]}, "approvals[1].time"),
        ({"approvals": [FIRST, {**SECOND, "statement": {}}]}, "approvals[1].statement.approver"),
        (
            {"approvals": [FIRST, {**SECOND, "evidence": {}}]},
            "approvals[1].evidence.aaguid",
        ),
    ],
)
def test_a_claim_that_is_wrong_is_named(change: dict[str, Any], place: str) -> None:
    with pytest.raises(Invalid) as caught:
        Approval.from_claims({**HUMAN, **change})
    assert (caught.value.code, caught.value.place) == ("malformed", f"approval.{place}")


def test_a_hundred_votes_are_read_and_nobody_is_asked_on_the_basis_of_policy() -> None:
    assert len(Approval.from_claims({**HUMAN, "approvals": [FIRST] * 100}).approvals) == 100
    with pytest.raises(Invalid) as caught:
        Approval.from_claims({**COMPANY.allowed().claims(), "approvals": [FIRST]})
    assert caught.value.place == "approval.approvals"
