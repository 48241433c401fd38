"""The enforcer's check: what a stolen signing key of the service cannot do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from approvals.core.approval import Approval, Counted
from approvals.core.calls import call_hash
from approvals.core.decision.ceremony import Decision, StepUp
from approvals.core.errors import Invalid
from approvals.verifier import PEOPLE_MAX_AGE
from tests.company import AUDIENCE, CALL, NOW, TWO_FROM_FINANCE, Company, digest_of, sign
from tests.softkey import BE, SoftKey
from tests.verifying import COMPANY, TRUSTING, accepted, reason_for, verifier, with_votes


def forged(approval: Approval, **changes: Any) -> Approval:
    """The attacker's approval: claims made to fit the request document that they wrote."""
    approval = replace(approval, **changes)
    if approval.request is None:
        return approval
    return replace(approval, request_digest=approval.request.digest())


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
