"""The enforcer's check: what every change to a token or to one of its claims meets."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jwcrypto.jwk import JWKSet
from jwcrypto.jws import JWS

from approvals.core import jws
from approvals.core.approval import TOKEN_TYPE
from approvals.core.errors import REASONS
from approvals.verifier import ApprovalRejected, Verifier
from tests.company import AUDIENCE, CALL, ISSUER, NOW, Company, digest_of, make_signing_key
from tests.verifying import (
    COMPANY,
    HUMAN,
    PINNED,
    TRUSTING,
    at,
    leaves,
    put,
    reason,
    reason_for,
    resigned,
    values,
)


def test_tampering_with_any_character_of_the_token_is_refused() -> None:
    token = COMPANY.token(COMPANY.allowed())
    for position, character in enumerate(token):
        other = "A" if character != "A" else "B"
        changed = token[:position] + other + token[position + 1 :]
        assert reason(changed, by=TRUSTING) in {
            "malformed",
            "type",
            "unknown_key",
            "algorithm",
            "signature",
        }


def test_an_approval_signed_by_an_unknown_key_is_refused() -> None:
    stranger = Company(key=make_signing_key(), passkeys=COMPANY.passkeys)
    assert reason(stranger.token(COMPANY.approval())) == "unknown_key"


@pytest.mark.parametrize("typ", ["JWT", "assent-directory+jwt", "AGENT-APPROVAL+JWT", ""])
def test_a_token_of_another_type_is_refused(typ: str) -> None:
    claims = COMPANY.approval().claims()
    assert reason(jws.sign(claims, key=COMPANY.key, typ=typ)) == "type"


def test_a_general_jose_library_accepts_the_signature() -> None:
    approval = COMPANY.approval()
    other = JWS()
    other.deserialize(COMPANY.token(approval))
    other.verify(JWKSet.from_json(json.dumps(COMPANY.jwks)))
    assert json.loads(other.payload) == approval.claims()


@given(st.text(max_size=60) | st.binary(max_size=90).map(lambda raw: raw.decode("latin-1")))
@settings(max_examples=300, deadline=None)
def test_text_from_anywhere_is_rejected_and_raises_nothing_else(text: str) -> None:
    assert reason(text) == "malformed"


@given(payload=values, typ=st.sampled_from([TOKEN_TYPE, "JWT"]))
@settings(max_examples=200, deadline=None)
def test_any_signed_json_is_rejected_and_raises_nothing_else(payload: Any, typ: str) -> None:
    members = payload if isinstance(payload, dict) else {"claims": payload}
    assert reason(jws.sign(members, key=COMPANY.key, typ=typ)) in {"malformed", "type"}


POLICY: dict[str, Any] = COMPANY.allowed(precondition="etag").claims()
NEVER = {"type", "unknown_key", "algorithm", "signature", "consumed", "revoked"}


@given(base=st.sampled_from([HUMAN, POLICY]), data=st.data())
@settings(max_examples=300, deadline=None)
def test_any_json_in_any_place_raises_nothing_else(
    base: dict[str, Any], data: st.DataObject
) -> None:
    path = data.draw(st.sampled_from(list(leaves(base))))
    cut = data.draw(st.integers(1, len(path)))
    token = resigned(put(base, path[:cut], data.draw(values)))
    try:
        PINNED.verify(token, CALL, now=NOW, precondition="etag")
    except ApprovalRejected as error:
        assert error.reason in REASONS  # noqa: PT017 - being accepted is possible: a same value


def different(value: Any) -> Any:
    """Another value of the same type, far from this one."""
    match value:
        case bool():
            return not value
        case int():
            return value + 100_000
        case str() if len(value) == 43:
            return digest_of("another")
        case str():
            return value + "x"
        case None:
            return "x"
        case _:
            return [*value, "x"]


# A user handle is not signed, and nothing is concluded from it: the credential was named.
SIGNED = [path for path in leaves(HUMAN) if path[-1] != "user_handle"]


@pytest.mark.parametrize("path", SIGNED, ids=lambda path: "/".join(map(str, path)))
def test_no_claim_can_be_changed_even_by_who_holds_the_signing_key(
    path: tuple[str | int, ...],
) -> None:
    claims = put(HUMAN, path, different(at(HUMAN, path)))
    found = reason(resigned(claims), precondition="etag", agent="billing-agent", user="uma")
    assert found not in NEVER


@pytest.mark.parametrize("path", list(leaves(POLICY)), ids=lambda path: "/".join(map(str, path)))
def test_no_claim_of_an_allowed_call_changes_type(path: tuple[str | int, ...]) -> None:
    value = at(POLICY, path)
    for wrong in (None, [value], {"x": value}, not bool(value)):
        claims = put(POLICY, path, wrong)
        assert reason(resigned(claims), by=TRUSTING, precondition="etag") == "malformed"


@pytest.mark.parametrize("name", sorted(HUMAN))
def test_no_claim_may_be_missing(name: str) -> None:
    claims = {key: value for key, value in HUMAN.items() if key != name}
    expected = "precondition" if name == "precondition" else "malformed"
    assert reason(resigned(claims), precondition="etag") == expected


@pytest.mark.parametrize("name", ["cnf", "scope", "", "Request", "crit"])
def test_no_claim_may_be_added(name: str) -> None:
    assert reason(resigned({**HUMAN, name: 1}), precondition="etag") == "malformed"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("aud",), [AUDIENCE]),
        (("aud",), [AUDIENCE, "other"]),
        (("max_uses",), 2),
        (("max_uses",), True),
        (("basis",), "standing"),
        (("iat",), 1.5),
        (("exp",), "1800000290"),
        (("authorization_details",), []),
        (("authorization_details",), HUMAN["authorization_details"] * 2),
        (("authorization_details", 0, "type"), "urn:other"),
        (("authorization_details", 0, "actions"), ["tools/call", "tools/list"]),
        (("authorization_details", 0, "locations"), [CALL.target, "https://other.example"]),
        (("authorization_details", 0, "locations"), []),
        (("act",), {"sub": "billing-agent", "act": {"sub": "x"}}),
        (("jti",), "apr_" + "b" * 26),
        (("jti",), "apr_" + "a" * 25),
        (("txn",), "vrd_" + "b" * 26),
        (("txn",), "abc"),
        (("approvals",), HUMAN["approvals"] * 51),
        (("approvals", 0, "acr"), "none"),
        (("approvals", 0, "amr"), ["hwk"]),
        (("approvals", 0, "statement"), None),
        (("approvals", 0, "evidence"), None),
        (("approvals", 0, "acr"), "session"),
    ],
    ids=lambda part: "/".join(map(str, part)) if isinstance(part, tuple) else "",
)
def test_a_claim_out_of_form_is_malformed(path: tuple[str | int, ...], value: object) -> None:
    assert reason(resigned(put(HUMAN, path, value)), precondition="etag") == "malformed"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"issuer": "https://other.example"}, "issuer"),
        ({"issuer": ISSUER + "/"}, "issuer"),
        ({"audience": "other"}, "audience"),
        ({"audience": AUDIENCE.upper()}, "audience"),
        ({"tenant": "other"}, "tenant"),
    ],
)
@pytest.mark.parametrize("by", [PINNED, TRUSTING], ids=["pinned", "trusting"])
def test_another_issuer_audience_or_tenant_is_refused(
    change: dict[str, Any], expected: str, by: Verifier
) -> None:
    assert reason_for(replace(COMPANY.approval(), **change), by=by) == expected
