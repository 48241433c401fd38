"""The enforcer's check: what passes, what every change meets, what a stolen key cannot do."""

from __future__ import annotations

import json
import subprocess
import sys
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jwcrypto.jwk import JWKSet
from jwcrypto.jws import JWS

from approvals.core import b64, jws
from approvals.core.approval import MAX_LIFE, TOKEN_TYPE, Approval, Basis, Counted
from approvals.core.calls import ToolCall, call_hash
from approvals.core.decision.ceremony import Decision, StepUp
from approvals.core.errors import REASONS, AssentError, Invalid, KeySetError
from approvals.verifier import PEOPLE_MAX_AGE, ApprovalRejected, Floors, VerifiedApproval, Verifier
from tests.company import (
    AUDIENCE,
    CALL,
    ISSUER,
    NOW,
    TWO_FROM_FINANCE,
    Company,
    digest_of,
    make_signing_key,
    sign,
)
from tests.softkey import BE, SoftKey

if TYPE_CHECKING:
    from collections.abc import Iterator

VECTORS = sorted((Path(__file__).parent / "vectors" / "approval").glob("*.json"))
COMPANY = Company()


def verifier(company: Company = COMPANY, **changes: Any) -> Verifier:
    """One that pins everything it can."""
    known: dict[str, Any] = {
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "keys": company.jwks,
        "people": company.directory,
    }
    return Verifier(**{**known, **changes})


TRUSTING = verifier(people=None)
PINNED = verifier()


def reason(token: str, call: ToolCall = CALL, *, by: Verifier = PINNED, **given: Any) -> str:
    with pytest.raises(ApprovalRejected) as caught:
        by.verify(token, call, **{"now": NOW, **given})
    assert caught.value.reason in REASONS
    return caught.value.reason


def accepted(
    token: str, call: ToolCall = CALL, *, by: Verifier = PINNED, **given: Any
) -> VerifiedApproval:
    verified = by.verify(token, call, **{"now": NOW, **given})
    assert verified.call_hash == call_hash(call)
    return verified


def reason_for(approval: Approval, *, by: Verifier = PINNED, **given: Any) -> str:
    return reason(COMPANY.token(approval), by=by, **given)


def resigned(claims: dict[str, Any]) -> str:
    return jws.sign(claims, key=COMPANY.key, typ=TOKEN_TYPE)


# What passes


def test_what_two_people_approved_passes() -> None:
    approval = COMPANY.approval()
    verified = PINNED.verify(COMPANY.token(approval), CALL, now=NOW)
    assert verified == VerifiedApproval(
        jti=approval.jti, call_hash=call_hash(CALL), approval=approval
    )


def test_without_a_directory_the_services_word_is_enough() -> None:
    for approval in (COMPANY.allowed(), COMPANY.approval()):
        verified = accepted(COMPANY.token(approval), by=TRUSTING)
        assert (verified.jti, verified.approval) == (approval.jti, approval)


def test_a_directory_and_keys_may_be_given_as_documents() -> None:
    given = verifier(people=COMPANY.directory.document(), keys=jws.KeySet.from_jwks(COMPANY.jwks))
    accepted(COMPANY.token(COMPANY.approval()), by=given)


@pytest.mark.parametrize(
    "change", [{"issuer": "https://other.example"}, {"tenant": "other"}], ids=str
)
def test_a_directory_of_another_service_or_tenant_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as caught:
        verifier(people=replace(COMPANY.directory, **change))
    assert caught.value.code == "directory"


def test_keys_that_cannot_be_used_are_refused_before_any_token_comes() -> None:
    """Would catch a verifier that raises another error than `ApprovalRejected` for each token."""
    with pytest.raises(KeySetError):
        verifier(keys={"keys": [{**COMPANY.key.public_jwk(), "alg": "none"}]})


def test_policy_alone_may_allow_the_tools_named() -> None:
    token = COMPANY.token(COMPANY.allowed())
    assert reason(token) == "basis"
    accepted(token, by=verifier(unattended=["transfer"]))
    assert reason(token, by=verifier(unattended=["transfers"])) == "basis"


def test_a_precondition_passes_when_it_is_the_same() -> None:
    document = COMPANY.request(precondition='"etag-7"')
    token = COMPANY.token(COMPANY.approval(document))
    accepted(token, precondition='"etag-7"')
    assert reason(token, precondition='"etag-8"') == "precondition"
    assert reason(token) == "precondition"
    assert reason(COMPANY.token(COMPANY.approval()), precondition='"etag-7"') == "precondition"


def test_a_person_asked_by_escalation_may_fill_the_place() -> None:
    asked = replace(
        TWO_FROM_FINANCE, eligible=("ada", "ben", "cleo"), escalate=((600, "managers"),)
    )
    document = COMPANY.request(asked)
    votes = [COMPANY.vote("ada", document), COMPANY.vote("cleo", document)]
    accepted(COMPANY.token(COMPANY.approval(document, votes)))


def test_a_person_named_by_id_may_fill_the_place() -> None:
    asked = replace(TWO_FROM_FINANCE, approvers=("dora",), eligible=("dora",), quorum=1)
    document = COMPANY.request(asked)
    token = COMPANY.token(COMPANY.approval(document, [COMPANY.vote("dora", document)]))
    accepted(token)


def test_two_requirements_are_filled_by_distinct_people() -> None:
    peer = replace(TWO_FROM_FINANCE, rule="peer", quorum=1)
    manager = replace(
        peer, rule="manager", approvers=("managers",), eligible=("ben", "cleo"), quorum=1
    )
    document = COMPANY.request(peer, manager)
    votes = [COMPANY.vote("ben", document), COMPANY.vote("ada", document)]
    approval = COMPANY.approval(document, votes)
    accepted(COMPANY.token(approval))
    ben, ada = approval.approvals
    wrongly = (replace(ben, requirement="peer"), replace(ada, requirement="peer"))
    assert reason_for(replace(approval, approvals=wrongly)) == "quorum"


# Times


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (NOW - 41, "not_yet_valid"),
        (NOW - 40, None),
        (NOW + 319, None),
        (NOW + 320, "expired"),
        (NOW + 10**6, "expired"),
        (0, "not_yet_valid"),
    ],
)
def test_an_approval_lives_from_nbf_to_exp_give_or_take_the_skew(
    now: int, expected: str | None
) -> None:
    token = COMPANY.token(COMPANY.approval())
    if expected is None:
        accepted(token, now=now)
    else:
        assert reason(token, now=now) == expected


@pytest.mark.parametrize(
    "times",
    [
        {"expires": NOW - 10 + MAX_LIFE + 1},
        {"expires": NOW - 10},
        {"expires": NOW - 11},
        {"not_before": NOW - 11},
        {"not_before": NOW + 290},
        {"issued": NOW - 1000, "not_before": NOW},
    ],
)
def test_a_life_that_approvals_do_not_have_is_refused(times: dict[str, Any]) -> None:
    assert reason_for(COMPANY.approval(**times)) == "lifetime"


def test_the_longest_life_is_accepted() -> None:
    accepted(COMPANY.token(COMPANY.approval(expires=NOW - 10 + MAX_LIFE)))


# The call


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place in a JSON value that holds no more places, and every empty container."""
    if isinstance(value, dict) and value:
        for name, item in value.items():
            yield from leaves(item, (*path, name))
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))
    else:
        yield path


def at(value: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


def put(value: Any, path: tuple[str | int, ...], new: Any) -> Any:
    value = deepcopy(value)
    if not path:
        return new
    at(value, path[:-1])[path[-1]] = new
    return value


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(-1e6, 1e6, allow_nan=False).filter(lambda x: x != 0)
    | st.text(max_size=5)
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
arguments = st.dictionaries(st.text(max_size=4), values, min_size=1, max_size=3)


def same(one: Any, other: Any) -> bool:
    """Equal as JSON is: 1 is 1.0 and is not true."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


@given(args=arguments, data=st.data())
@settings(max_examples=200, deadline=None)
def test_any_change_to_the_call_is_another_call(args: dict[str, Any], data: st.DataObject) -> None:
    """Law: any leaf, type or order changed is refused; the same call, members reordered, is not."""
    call = ToolCall(CALL.target, CALL.tool, args)
    document = COMPANY.request(requirements=(), display_digest=None, call=call)
    token = COMPANY.token(COMPANY.allowed(call_hash=document.call_hash))
    again = ToolCall(CALL.target, CALL.tool, dict(reversed(args.items())))
    accepted(token, again, by=TRUSTING)
    path = data.draw(st.sampled_from(list(leaves(args))))
    new = data.draw(values)
    changed = put(args, path, new)
    if not same(args, changed):
        other = ToolCall(CALL.target, CALL.tool, changed)
        assert reason(token, other, by=TRUSTING) == "call_mismatch"


@pytest.mark.parametrize(
    "call",
    [
        replace(CALL, target="https://payments.example/"),
        replace(CALL, target="https://PAYMENTS.example"),
        replace(CALL, tool="Transfer"),
        replace(CALL, args={}),
        replace(CALL, args={**CALL.args, "more": None}),
        replace(CALL, args={**CALL.args, "amount": 750}),
        replace(CALL, args={**CALL.args, "amount": "750.0"}),
        replace(CALL, args={**CALL.args, "to": "vendor@example.com "}),
        replace(CALL, args={**CALL.args, "to": "vend\u043er@example.com"}),
        replace(CALL, args={**CALL.args, "to": "\ud800"}),  # no canonical form
        replace(CALL, args={**CALL.args, "n": float("nan")}),
        replace(CALL, args={**CALL.args, "n": 2**60}),
    ],
    ids=[
        "another target",
        "the target in capitals",
        "another tool",
        "no arguments",
        "one more argument",
        "a number for its text",
        "another text for the number",
        "a space more",
        "a letter that looks alike",
        "half of a surrogate pair",
        "not a number",
        "beyond the range",
    ],
)
def test_another_call_is_refused(call: ToolCall) -> None:
    assert reason(COMPANY.token(COMPANY.approval()), call) == "call_mismatch"


def test_a_call_without_a_canonical_form_is_refused_where_it_has_none() -> None:
    call = replace(CALL, args={**CALL.args, "n": [2**60]})
    with pytest.raises(ApprovalRejected) as caught:
        PINNED.verify(COMPANY.token(COMPANY.approval()), call, now=NOW)
    assert (caught.value.reason, caught.value.place) == ("call_mismatch", "/args/n/0")


def test_a_hash_that_fits_with_another_target_or_tool_beside_it_is_refused() -> None:
    for other in (COMPANY.approval(target="https://other.example"), COMPANY.approval(tool="other")):
        assert reason_for(other) == "call_mismatch"


def test_agent_and_user_are_checked_where_the_enforcer_knows_them() -> None:
    token = COMPANY.token(COMPANY.approval())
    accepted(token, agent="billing-agent", user="uma")
    assert reason(token, agent="other-agent") == "agent_mismatch"
    assert reason(token, user="una") == "user_mismatch"


# The token


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


HUMAN: dict[str, Any] = COMPANY.approval(COMPANY.request(precondition="etag")).claims()
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


# Who holds the service's signing key, and no passkey of anybody's


def forged(approval: Approval, **changes: Any) -> Approval:
    """The attacker's approval: claims made to fit the request document that they wrote."""
    approval = replace(approval, **changes)
    if approval.request is None:
        return approval
    return replace(approval, request_digest=approval.request.digest())


def with_votes(approval: Approval, *votes: Counted) -> Approval:
    return replace(approval, approvals=votes)


def test_a_stolen_signing_key_does_not_make_policy_allow() -> None:
    assert reason_for(COMPANY.allowed()) == "basis"


def test_nor_a_request_that_asks_for_nobody() -> None:
    document = COMPANY.request(requirements=())
    assert reason_for(COMPANY.approval(document, [])) == "quorum"


def test_nor_a_quorum_of_none() -> None:
    document = COMPANY.request(replace(TWO_FROM_FINANCE, quorum=0))
    assert reason_for(COMPANY.approval(document, [])) == "malformed"


def test_nor_votes_that_nobody_cast() -> None:
    assert reason_for(COMPANY.approval(COMPANY.request(), [])) == "quorum"


@pytest.mark.parametrize("name", ["ada", "mallory"])
def test_nor_a_passkey_of_ones_own(name: str) -> None:
    own = SoftKey("mallory", rp_id="approve.example", origin="https://approve.example")
    asked = replace(TWO_FROM_FINANCE, eligible=("ada", "ben", "mallory"))
    document = COMPANY.request(asked)
    votes = [COMPANY.vote(name, document, passkey=own), COMPANY.vote("ben", document)]
    assert reason_for(COMPANY.approval(document, votes)) == "evidence"


def test_nor_ones_own_public_key_under_anothers_credential() -> None:
    own = SoftKey("ada", rp_id="approve.example", origin="https://approve.example")
    document = COMPANY.request()
    votes = [COMPANY.vote("ada", document, passkey=own), COMPANY.vote("ben", document)]
    assert votes[0].evidence is not None
    assert votes[0].evidence.credential_id == COMPANY.passkeys["ada"].credential_id
    assert reason_for(COMPANY.approval(document, votes)) == "evidence"


def test_nor_two_peoples_keys_exchanged() -> None:
    ada, ben = COMPANY.approval().approvals
    exchanged = with_votes(
        COMPANY.approval(),
        replace(ada, evidence=ben.evidence),
        replace(ben, evidence=ada.evidence),
    )
    assert reason_for(exchanged) == "evidence"


def test_nor_a_decision_on_another_call() -> None:
    other = replace(CALL, args={"amount": "1.00", "to": "vendor@example.com"})
    small = COMPANY.request(call=other)
    decided = COMPANY.approval(small)
    large = replace(small, call_hash=call_hash(CALL))
    assert reason_for(forged(decided, request=large, call_hash=large.call_hash)) == "evidence"
    # Not even with the statements rewritten to fit: then the signatures do not.
    rewritten = tuple(
        replace(
            counted,
            statement=replace(
                counted.statement, call_hash=large.call_hash, request_digest=large.digest()
            ),
        )
        for counted in decided.approvals
        if counted.statement is not None
    )
    again = forged(decided, request=large, call_hash=large.call_hash, approvals=rewritten)
    assert reason_for(again) == "evidence"


@pytest.mark.parametrize(
    ("field", "asked"),
    [
        ("user", {"user": "someone"}),
        ("agent", {"agent": "someone"}),
        ("precondition", {"precondition": "etag"}),
        ("bundle", {"bundle": digest_of("old bundle")}),
    ],
)
def test_nor_claims_that_differ_from_what_was_asked(field: str, asked: dict[str, Any]) -> None:
    decided = COMPANY.approval(COMPANY.request(**asked))
    plain = getattr(COMPANY.approval(), field)
    assert reason_for(replace(decided, **{field: plain})) == "evidence"


def test_nor_a_decision_for_another_enforcer() -> None:
    decided = COMPANY.approval(COMPANY.request(audience="other-gateway"))
    assert reason_for(replace(decided, audience=AUDIENCE)) == "evidence"


def test_nor_a_decision_on_another_occasion() -> None:
    decided = COMPANY.approval()
    elsewhere = replace(decided, txn="req_" + "b" * 26, jti="apr_" + "b" * 26)
    assert reason_for(elsewhere) == "evidence"


def test_nor_a_second_approval_of_one_decision() -> None:
    assert reason_for(COMPANY.approval(jti="apr_" + "b" * 26)) == "malformed"


@pytest.mark.parametrize("rewritten", [False, True])
def test_nor_a_denial(rewritten: bool) -> None:  # noqa: FBT001 - a parameter of the test
    document = COMPANY.request()
    denied = COMPANY.vote("ada", document, decision=Decision.DENY)
    assert denied.statement is not None
    approval = COMPANY.approval(document)
    ada, ben = approval.approvals
    statement = denied.statement
    if rewritten:
        statement = replace(statement, decision=Decision.APPROVE)
    ada = replace(ada, statement=statement, evidence=denied.evidence)
    assert reason_for(with_votes(approval, ada, ben)) == "evidence"


@pytest.mark.parametrize("listed", ["ada", "ben"])
def test_nor_the_person_it_is_for(listed: str) -> None:
    document = COMPANY.request(user=listed)
    assert reason_for(COMPANY.approval(document)) == "quorum"


def test_nor_one_person_twice() -> None:
    approval = COMPANY.approval()
    ada, _ = approval.approvals
    assert reason_for(with_votes(approval, ada, ada)) == "quorum"
    document = COMPANY.request()
    again = [COMPANY.vote("ada", document), COMPANY.vote("ada", document)]
    assert reason_for(COMPANY.approval(document, again)) == "quorum"
    as_ben = COMPANY.vote("ben", document, passkey=COMPANY.passkeys["ada"])
    votes = [COMPANY.vote("ada", document), as_ben]
    assert reason_for(COMPANY.approval(document, votes)) == "evidence"


def test_nor_one_of_two() -> None:
    approval = COMPANY.approval()
    assert reason_for(with_votes(approval, approval.approvals[0])) == "quorum"


def test_nor_a_lower_quorum_than_was_signed() -> None:
    document = COMPANY.request()
    decided = COMPANY.approval(document)
    lower = replace(document, requirements=(replace(TWO_FROM_FINANCE, quorum=1),))
    only = forged(decided, request=lower, approvals=decided.approvals[:1])
    assert reason_for(only) == "evidence"


def test_nor_eligibility_widened_with_a_helper_from_another_group() -> None:
    asked = replace(TWO_FROM_FINANCE, eligible=("ada", "ben", "dora"))
    document = COMPANY.request(asked)
    votes = [COMPANY.vote("ada", document), COMPANY.vote("dora", document)]
    approval = COMPANY.approval(document, votes)
    assert reason_for(approval) == "quorum"
    accepted(COMPANY.token(approval), by=TRUSTING)


def test_nor_eligibility_that_leaves_a_voter_out() -> None:
    document = COMPANY.request(replace(TWO_FROM_FINANCE, eligible=("ada", "cleo")))
    assert reason_for(COMPANY.approval(document), by=TRUSTING) == "quorum"


def test_nor_a_vote_for_a_requirement_that_is_not_there() -> None:
    approval = COMPANY.approval()
    ada, ben = approval.approvals
    assert reason_for(with_votes(approval, ada, replace(ben, requirement="other"))) == "quorum"


def test_nor_a_vote_more_than_there_are_places() -> None:
    asked = replace(TWO_FROM_FINANCE, quorum=1)
    document = COMPANY.request(asked)
    votes = [COMPANY.vote("ada", document), COMPANY.vote("ben", document)]
    approval = COMPANY.approval(document, votes[:1])
    both = with_votes(approval, *(Counted.of(vote, "large-transfers") for vote in votes))
    assert reason_for(both) == "quorum"


@pytest.mark.parametrize("step_up", [StepUp.SESSION, StepUp.PASSKEY])
def test_nor_a_click(step_up: StepUp) -> None:
    document = COMPANY.request(replace(TWO_FROM_FINANCE, step_up=step_up))
    votes = [
        replace(
            COMPANY.vote(person, document), step_up=StepUp.SESSION, statement=None, evidence=None
        )
        for person in ("ada", "ben")
    ]
    approval = COMPANY.approval(document, votes)
    assert reason_for(approval) == "evidence"
    if step_up is StepUp.SESSION:  # who trusts the service takes its word for it
        accepted(COMPANY.token(approval), by=TRUSTING)
    else:
        assert reason_for(approval, by=TRUSTING) == "quorum"


def test_nor_a_hardware_passkey_that_the_directory_does_not_list_as_one() -> None:
    """A key in software can say of itself whatever hardware says."""
    software = SoftKey("soft", rp_id="approve.example", origin="https://approve.example")
    company = Company(key=COMPANY.key, passkeys={**COMPANY.passkeys, "ada": software})
    document = company.request(replace(TWO_FROM_FINANCE, step_up=StepUp.HARDWARE))
    vote = company.vote("ada", document, step_up=StepUp.HARDWARE)
    assert vote.evidence is not None
    assert not vote.evidence.backup_eligible
    approval = company.approval(document, [vote, company.vote("ben", document)])
    assert reason_for(approval, by=verifier(company)) == "evidence"


def test_nor_a_stronger_step_up_than_was_made() -> None:
    synced = SoftKey(
        "synced", rp_id="approve.example", origin="https://approve.example", backup_eligible=True
    )
    company = Company(key=COMPANY.key, passkeys={**COMPANY.passkeys, "ada": synced})
    document = company.request(replace(TWO_FROM_FINANCE, step_up=StepUp.HARDWARE))
    honest = [company.vote("ada", document), company.vote("ben", document)]
    assert reason_for(company.approval(document, honest), by=verifier(company)) == "quorum"
    claimed = [replace(honest[0], step_up=StepUp.HARDWARE), honest[1]]
    assert reason_for(company.approval(document, claimed), by=verifier(company)) == "evidence"
    unflagged = company.vote("ada", document, wrong={"flags_off": BE}, step_up=StepUp.HARDWARE)
    assert unflagged.evidence is not None
    lying = replace(unflagged, evidence=replace(unflagged.evidence, backup_eligible=False))
    approval = company.approval(document, [lying, honest[1]])
    assert reason_for(approval, by=verifier(company)) == "evidence"


@pytest.mark.parametrize(
    "wrong",
    [
        {"origin": "https://approve.example.evil.example"},
        {"cross_origin": True},
        {"rp_id": "evil.example"},
        {"flags_off": 0x04},
    ],
    ids=str,
)
def test_nor_an_assertion_obtained_elsewhere(wrong: dict[str, Any]) -> None:
    document = COMPANY.request()
    votes = [COMPANY.vote("ada", document, wrong=wrong), COMPANY.vote("ben", document)]
    assert reason_for(COMPANY.approval(document, votes)) == "evidence"


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ({"iat": NOW - 61, "exp": NOW + 200}, "evidence"),  # before the request was there
        ({"iat": NOW + 840, "exp": NOW + 900}, "evidence"),  # after it was over
        ({"iat": NOW + 21, "exp": NOW + 200}, "evidence"),  # after the approval was issued
        ({"iat": NOW - 50, "exp": NOW + 251}, "malformed"),  # too long
    ],
)
def test_nor_a_statement_out_of_its_time(times: dict[str, Any], expected: str) -> None:
    document = COMPANY.request()
    votes = [COMPANY.vote("ada", document, **times), COMPANY.vote("ben", document)]
    votes[0] = replace(votes[0], time=NOW - 15)
    assert reason_for(COMPANY.approval(document, votes)) == expected


@pytest.mark.parametrize("time", [NOW - 61, NOW - 21, NOW + 280])
def test_nor_a_vote_out_of_its_time(time: int) -> None:
    approval = COMPANY.approval()
    ada, ben = approval.approvals
    assert reason_for(with_votes(approval, replace(ada, time=time), ben)) == "evidence"


@pytest.mark.parametrize("time", [NOW - 60, NOW + 20])
def test_a_vote_counts_in_the_first_and_the_last_second_of_its_time(time: int) -> None:
    document = COMPANY.request()
    vote = COMPANY.vote("ada", document, iat=time, exp=time + 200)
    votes = [replace(vote, time=time), COMPANY.vote("ben", document)]
    accepted(COMPANY.token(COMPANY.approval(document, votes)))


def test_nor_a_decision_kept_in_a_drawer() -> None:
    later = NOW + 840 + 700
    kept = COMPANY.approval(issued=later, not_before=later, expires=later + 300)
    assert reason_for(kept, now=later) == "evidence"
    in_time = replace(kept, expires=later + 200)
    accepted(COMPANY.token(in_time), now=later)


def test_nor_an_approval_older_than_its_request() -> None:
    early = NOW - 100
    approval = COMPANY.approval(issued=early, not_before=early, expires=NOW + 200)
    assert reason_for(approval) == "evidence"


def test_nor_a_display_that_nobody_saw() -> None:
    document = COMPANY.request()
    votes = [
        COMPANY.vote("ada", document, display_digest=digest_of("something harmless")),
        COMPANY.vote("ben", document),
    ]
    assert reason_for(COMPANY.approval(document, votes)) == "evidence"
    unseen = COMPANY.request(display_digest=None)
    shown = [
        COMPANY.vote(person, unseen, display_digest=digest_of("x")) for person in ("ada", "ben")
    ]
    assert reason_for(COMPANY.approval(unseen, shown)) == "evidence"


def test_an_old_directory_or_one_from_the_future_approves_nothing() -> None:
    approval = COMPANY.approval()
    for made, most, wanted in (
        (NOW - 1000, 999, "directory"),
        (NOW - 90 * 86_400 - 1, PEOPLE_MAX_AGE, "directory"),
        (NOW + 31, PEOPLE_MAX_AGE, "directory"),
        (253_402_300_799, None, "directory"),
    ):
        by = verifier(people=replace(COMPANY.directory, issued=made), people_max_age=most)
        assert reason_for(approval, by=by) == wanted
    for made, most in ((NOW - 1000, 1000), (NOW + 30, 1), (0, None)):
        by = verifier(people=replace(COMPANY.directory, issued=made), people_max_age=most)
        accepted(COMPANY.token(approval), by=by)


def test_an_older_number_than_was_pinned_before_is_refused() -> None:
    number = COMPANY.directory.number
    verifier(people_least=number)
    with pytest.raises(Invalid) as caught:
        verifier(people_least=number + 1)
    assert caught.value.code == "directory_older"


def test_a_retired_signing_key_lets_nothing_run() -> None:
    """Whatever time it writes into the token, and though a set that has it is pinned."""
    jwk = COMPANY.key.public_jwk()
    for times in ({"exp": NOW}, {"exp": NOW - 5000}, {"nbf": NOW - 9}):
        by = verifier(keys={"keys": [{**jwk, **times}]})
        assert reason_for(COMPANY.approval(), by=by) == "unknown_key"
    backdated = COMPANY.approval(issued=NOW - 6000, not_before=NOW - 6000, expires=NOW - 5700)
    by = verifier(keys={"keys": [{**jwk, "exp": NOW - 5000}]})
    assert reason_for(backdated, by=by) == "unknown_key"


def test_nor_a_person_who_left_the_directory() -> None:
    known = COMPANY.directory
    left = replace(known, people=tuple(it for it in known.people if it.id != "ben"))
    assert reason_for(COMPANY.approval(), by=verifier(people=left)) == "evidence"


def test_a_signature_by_the_right_key_over_a_statement_is_all_it_takes() -> None:
    """The one thing that opens the door is what the attacker does not have."""
    document = COMPANY.request()
    approval = COMPANY.approval(document)
    ada, ben = approval.approvals
    assert ada.statement is not None
    again = replace(ada, evidence=sign(COMPANY.passkeys["ada"], ada.statement))
    accepted(COMPANY.token(with_votes(approval, again, ben)))


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


# Published vectors


def read(path: Path) -> dict[str, Any]:
    vector: dict[str, Any] = json.loads(path.read_text())
    return vector


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_every_vector_says_what_happens(path: Path) -> None:
    vector = read(path)
    by = Verifier(
        issuer=vector["issuer"],
        audience=vector["audience"],
        keys=vector["jwks"],
        people=vector.get("directory"),
        people_max_age=vector.get("directory_max_age"),
        tenant=vector["tenant"],
        floor=Floors.from_document(vector["floor"]) if "floor" in vector else None,
    )
    call = ToolCall(**vector["call"])
    given = {name: vector[name] for name in ("agent", "user", "precondition") if name in vector}
    if vector["reason"] is None or vector["decided_by"] == "spending":
        verified = by.verify(vector["token"], call, now=vector["now"], **given)
        assert verified.call_hash == vector["call_hash"]
    else:
        assert reason(vector["token"], call, by=by, now=vector["now"], **given) == vector["reason"]


def test_every_reason_has_a_vector() -> None:
    assert {read(path)["reason"] for path in VECTORS} == {None, *REASONS}


def test_no_vector_holds_a_private_key() -> None:
    for path in VECTORS:
        for key in read(path)["jwks"]["keys"]:
            assert key.keys() - {"nbf", "exp"} == {"alg", "crv", "kid", "kty", "use", "x", "y"}


# What it needs


def test_it_loads_nothing_of_the_server() -> None:
    names = "fastapi sqlalchemy sqlmodel pydantic webauthn jinja2 apscheduler typer rich structlog"
    program = (
        "import sys, approvals.verifier\n"
        f"print([name for name in {names.split()!r} if name in sys.modules])"
    )
    found = subprocess.run(  # noqa: S603 - our own interpreter, our own program
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"


def test_a_rejection_is_one_of_our_errors_and_says_where() -> None:
    with pytest.raises(AssentError) as caught:
        PINNED.verify(COMPANY.token(COMPANY.approval(audience="other")), CALL, now=NOW)
    assert isinstance(caught.value, ApprovalRejected)
    assert (caught.value.reason, caught.value.place) == ("audience", "aud")
    assert Basis.HUMAN.value == "human"
    assert b64.decode(call_hash(CALL))
