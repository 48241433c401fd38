"""What a producer makes, its consumers take: each limit is one number, and it is asked in time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from approvals import verifier
from approvals.client import steps
from approvals.config import Settings
from approvals.core import canonical, jws, sizes
from approvals.core import directory as directories
from approvals.core.approval import fits
from approvals.core.calls import ToolCall
from approvals.core.decision.ceremony import Evidence, StepUp
from approvals.core.directory import Approver, EnrolledKey
from approvals.core.display import shown
from approvals.core.errors import AdmissionError
from approvals.guard.arguments import Frozen
from approvals.policy import Deny, Escalate, evaluate
from approvals.policy.bundle import Bundle, check
from tests import small_bundle as small
from tests.company import AUDIENCE, CALL, ISSUER, NOW, TWO_FROM_FINANCE, Company, make_signing_key

if TYPE_CHECKING:
    from approvals.core.decision.requirement import Requirement

COMPANY = Company()


def asking(people: int, places: int = 2) -> Requirement:
    names = sorted(
        {"ada", "ben", *(f"person-{number:05d}@corp.example" for number in range(people))}
    )
    return replace(TWO_FROM_FINANCE, eligible=tuple(names), quorum=places)


def largest(evidence: Evidence) -> Evidence:
    """The evidence, as large as a vote may bring it."""
    room = sizes.VOTE_EVIDENCE - len(canonical.encode(evidence.document()))
    grown = replace(evidence, client_data_json=evidence.client_data_json + b" " * (room * 3 // 4))
    assert sizes.VOTE_EVIDENCE - 4 <= len(canonical.encode(grown.document())) <= sizes.VOTE_EVIDENCE
    return grown


# --- approvals


@pytest.mark.parametrize(("people", "room"), [(1_000, True), (5_000, True), (8_000, False)])
def test_an_approval_is_asked_for_only_if_verifiers_would_take_it(
    people: int, *, room: bool
) -> None:
    requirement = asking(people)
    assert fits((requirement,)) is room
    token = COMPANY.token(COMPANY.approval(COMPANY.request(requirement)))
    pinned = verifier.Verifier(issuer=ISSUER, audience=AUDIENCE, keys=COMPANY.jwks)
    if room:
        assert pinned.verify(token, CALL, now=NOW).call_hash
    else:
        assert len(token) > sizes.TOKEN


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 7_000), st.integers(1, 22))
@example(5_700, 2)
@example(0, 22)
def test_whatever_fits_is_a_token_that_is_read(people: int, places: int) -> None:
    """The whole of it at its largest: every vote's evidence, every name, at the edge of room."""
    requirement = replace(asking(people, places), reason="é" * 1_000)
    if not fits((requirement,)):
        return
    made = COMPANY.approval(COMPANY.request(TWO_FROM_FINANCE))
    counted = made.approvals[0]
    assert counted.evidence is not None
    vote = replace(
        counted,
        approver="p" * 100,
        requirement="r" * 100,
        evidence=largest(counted.evidence),
    )
    request = replace(
        COMPANY.request(requirement),
        user="é" * 200,
        task="é" * 200,
        precondition="é" * 200,
        agent="a" * 100,
    )
    grown = replace(
        made,
        request=request,
        approvals=(vote,) * places,
        target=f"urn:{'x' * 2_000}",
        tool="\x01" * 200,
        user="é" * 200,
        agent="a" * 100,
        precondition="é" * 200,
        rules=("r" * 100,),
    )
    key = make_signing_key()
    token = jws.sign(grown.claims(), key=key, typ="agent-approval+jwt")
    jws.verify(token, keys={"keys": [key.public_jwk()]}, typ="agent-approval+jwt")


def test_the_largest_passkey_that_can_be_enrolled_can_vote() -> None:
    modulus, signature = 8192 // 8, 8192 // 8
    evidence = Evidence(
        credential_id=bytes(sizes.CREDENTIAL_ID),
        client_data_json=bytes(400),
        authenticator_data=bytes(200),
        signature=bytes(signature),
        user_handle=bytes(64),
        public_key=bytes(modulus + 20),
        aaguid=bytes(16),
        backup_eligible=True,
        backup_state=True,
        rp_id="a" * 253,
        origins=(f"https://{'a' * 253}:65535",),
    )
    assert len(canonical.encode(evidence.document())) <= sizes.VOTE_EVIDENCE


def crowd(people: int) -> str:
    listed = "".join(f"  person-{n:05d}@corp.example: {{name: P}}\n" for n in range(people))
    names = ", ".join(f"person-{n:05d}@corp.example" for n in range(people))
    return small.PEOPLE.replace("groups:\n", f"{listed}groups:\n  crowd: [{names}]\n", 1)


def test_a_rule_that_asks_more_people_than_an_approval_can_hold_is_refused() -> None:
    rules = small.PERMIT + small.LARGE.replace('@approvers("finance"', '@approvers("crowd"')
    assert "crowd" in rules
    problems = check(small.files(people=crowd(8_000), rules=rules))
    assert [(problem.file, problem.code) for problem in problems] == [
        ("policies/rules.cedar", "too_many_eligible")
    ]
    assert check(small.files(people=crowd(2_000), rules=rules)) == []


def test_rules_that_together_ask_too_many_deny_the_call_at_once() -> None:
    """Would catch people who decide a request whose approval nobody can use."""
    asked = small.LARGE.replace('@approvers("finance"', '@approvers("crowd"')
    several = "".join(asked.replace('@id("large', f'@id("n{number}-large') for number in range(3))
    bundle = small.load(people=crowd(3_000), rules=small.PERMIT + several)
    verdict = evaluate(bundle, small.facts({"amount": "900.00", "to": "x"}))
    assert isinstance(verdict, Deny)
    assert verdict.code == "too_many_eligible"
    asked_few = evaluate(small.load(), small.facts({"amount": "900.00", "to": "x"}))
    assert isinstance(asked_few, Escalate)


def test_the_ids_of_all_rules_fit_into_one_leaf_of_the_log() -> None:
    rules = "".join(
        f'@id("{number:0100d}") permit (principal, action, resource);\n' for number in range(400)
    )
    assert {problem.code for problem in check(small.files(rules=rules))} == {"too_many_rules"}
    assert isinstance(Bundle.load(small.files()), Bundle)


# --- directories


def test_a_directory_of_everybody_in_a_large_company_is_one_that_can_be_pinned() -> None:
    key = make_signing_key()
    people = tuple(
        Approver(
            id=f"person-{number:05d}",
            groups=(),
            keys=(
                EnrolledKey(
                    credential_id=number.to_bytes(64),
                    public_key=number.to_bytes(80),
                    aaguid=bytes(16),
                    backup_eligible=False,
                    step_up=StepUp.PASSKEY,
                    since=number,
                ),
            ),
            since=number,
        )
        for number in range(2_000)
    )
    large = replace(COMPANY.directory, people=people)
    token = directories.sign(large, key=key)
    keys = jws.KeySet.from_jwks({"keys": [key.public_jwk()]})
    assert len(token) > sizes.TOKEN
    for pinned in (large, large.document(), canonical.encode(large.document()).decode(), token):
        assert directories.read_pinned(pinned, keys=keys) == large
    assert directories.read_pinned(f"{token}\n", keys=keys) == large


# --- calls


def test_a_guard_takes_every_call_that_some_service_may_take() -> None:
    field = Settings.model_fields["max_bytes"]
    (most,) = (each.le for each in field.metadata if hasattr(each, "le"))
    assert most == sizes.CALL_MOST
    assert field.default == sizes.CALL == canonical.MAX_BYTES
    text = canonical.encode({"memo": "x" * (sizes.CALL_MOST - 20)})
    assert Frozen(text, {}).thaw() == {"memo": "x" * (sizes.CALL_MOST - 20)}


def test_a_call_is_displayed_only_as_large_as_evidence_has_room_for() -> None:
    seen = ToolCall(CALL.target, "note", {"text": "x" * (sizes.CALL_MOST - 1_000)})
    assert len(canonical.encode(shown(None, seen).document())) < sizes.DISPLAY
    marked = ToolCall(CALL.target, "note", {"text": "\x7f" * (sizes.CALL_MOST // 2)})
    with pytest.raises(AdmissionError) as refused:
        shown(None, marked)
    assert refused.value.code == "too_large"


def test_what_a_client_reads_is_at_least_what_a_service_writes() -> None:
    assert steps.MAX_ANSWER >= sizes.TOKEN * 2
    assert sizes.EVIDENCE >= 4 * sizes.CALL_MOST + 2 * sizes.DISPLAY + sizes.DIRECTORY
    assert StepUp.HARDWARE.covers(StepUp.PASSKEY)
