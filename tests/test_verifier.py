"""The enforcer's check: what passes, when and for which call, and the published vectors."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from approvals.core import jws
from approvals.core.approval import MAX_LIFE
from approvals.core.calls import ToolCall, call_hash
from approvals.core.errors import REASONS, Invalid, KeySetError
from approvals.verifier import ApprovalRejected, Floors, VerifiedApproval, Verifier
from tests.company import CALL, NOW, TWO_FROM_FINANCE
from tests.verifying import (
    COMPANY,
    PINNED,
    TRUSTING,
    accepted,
    arguments,
    leaves,
    put,
    reason,
    reason_for,
    same,
    values,
    verifier,
)

VECTORS = sorted((Path(__file__).parent / "vectors" / "approval").glob("*.json"))


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
    own = {"issuer": COMPANY.directory.issuer, "tenant": COMPANY.directory.tenant}
    for name in (*own.values(), *change.values()):
        assert name in caught.value.message


def test_keys_that_cannot_be_used_are_refused_before_any_token_comes() -> None:
    """Would catch a verifier that raises another error than `ApprovalRejected` for each token."""
    with pytest.raises(KeySetError):
        verifier(keys={"keys": [{**COMPANY.key.public_jwk(), "alg": "none"}]})


def test_policy_alone_may_allow_the_tools_named() -> None:
    token = COMPANY.token(COMPANY.allowed())
    with pytest.raises(ApprovalRejected) as caught:
        PINNED.verify(token, CALL, now=NOW)
    assert caught.value.reason == "basis"
    assert "transfer needs a person: name it in ASSENT_UNATTENDED" in caught.value.message
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
