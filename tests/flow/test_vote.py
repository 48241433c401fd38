from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from approvals.core import receipt as receipts
from approvals.core.decision.ceremony import Decision
from approvals.core.errors import AssentError
from approvals.core.requests import State
from approvals.flow import status
from approvals.flow.acting import sight
from approvals.flow.acting.session import Browser, Session
from approvals.flow.deciding import look, vote
from approvals.flow.granting import consume

if TYPE_CHECKING:
    from tests.service import Running


def code_of(raised: pytest.ExceptionInfo[AssentError]) -> str:
    return raised.value.code


def test_two_people_approve_and_the_approval_is_spent(running: Running) -> None:
    request = running.opened()
    assert running.decide("ada", request) is State.PENDING
    assert running.decide("ben", request) is State.APPROVED
    seen = status.status(running.service, running.caller, request)
    assert seen.approval is not None
    receipt = consume.consume(
        running.service,
        running.caller,
        "apr_" + request[4:],
        call_hash=seen.call_hash,
        use_id="once",
    )
    assert receipts.read(receipt, keys=running.service.keys.jwks(0)).txn == request


def test_one_deny_ends_it(running: Running) -> None:
    request = running.opened()
    running.decide("ada", request)
    assert running.decide("ben", request, "deny", "wrong vendor") is State.DENIED
    seen = status.status(running.service, running.caller, request)
    assert seen.approval is None
    assert seen.denial is not None
    assert seen.denial.reason == "wrong vendor"


def test_nobody_approves_a_call_made_for_them(running: Running) -> None:
    request = running.opened(user="ada")
    view = look.request(running.service, running.sessions["ada"], request)
    assert (view.may_decide, view.why_not) == (False, "own_request")
    with pytest.raises(AssentError) as caught:
        running.decide("ada", request)
    assert code_of(caught) == "own_request"


def test_one_person_has_one_vote(running: Running) -> None:
    request = running.opened()
    running.decide("ada", request)
    with pytest.raises(AssentError) as caught:
        running.decide("ada", request)
    assert code_of(caught) == "already_voted"


def test_a_person_who_is_not_asked_cannot_see_it(running: Running) -> None:
    running.enrol("cleo")
    request = running.opened()
    for attempt in (
        lambda: look.request(running.service, running.sessions["cleo"], request),
        lambda: running.decide("cleo", request),
        lambda: sight.opened_whole(running.service, running.sessions["cleo"], request),
    ):
        with pytest.raises(AssentError) as caught:
            attempt()
        assert code_of(caught) == "not_found"


def begin(
    running: Running, session: Session, request: str, decision: Decision
) -> vote.DecisionChallenge:
    """Look, and ask for a statement to sign."""
    sight.seen(running.service, session, request)
    return vote.begin(running.service, session, request, decision)


def test_a_statement_is_used_once(running: Running) -> None:
    request = running.opened()
    session, key = running.sessions["ada"], running.passkeys["ada"]
    begun = begin(running, session, request, Decision.APPROVE)
    credential = key.authenticate(begun.options)
    vote.finish(running.service, session, begun.id, credential)
    with pytest.raises(AssentError) as caught:
        vote.finish(running.service, session, begun.id, credential)
    assert code_of(caught) == "statement_used"


def test_a_statement_is_for_the_person_it_was_made_for(running: Running) -> None:
    request = running.opened()
    begun = begin(running, running.sessions["ada"], request, Decision.APPROVE)
    credential = running.passkeys["ben"].authenticate(begun.options)
    with pytest.raises(AssentError) as caught:
        vote.finish(running.service, running.sessions["ben"], begun.id, credential)
    assert code_of(caught) == "statement_used"
    with pytest.raises(AssentError) as caught:
        vote.finish(running.service, running.sessions["ada"], begun.id, credential)
    assert code_of(caught) == "unknown_passkey"


def test_an_assertion_for_one_statement_does_not_serve_another(running: Running) -> None:
    first, second = running.opened(), running.opened("800.00")
    session, key = running.sessions["ada"], running.passkeys["ada"]
    for made, used in (
        ((first, Decision.APPROVE), (second, Decision.APPROVE)),
        ((first, Decision.DENY), (first, Decision.APPROVE)),
        ((first, Decision.APPROVE), (first, Decision.DENY)),
    ):
        signed = begin(running, session, *made)
        target = begin(running, session, *used)
        with pytest.raises(AssentError) as caught:
            vote.finish(running.service, session, target.id, key.authenticate(signed.options))
        assert code_of(caught) == "challenge"


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"flags_off": 0x04}, "user_verification"),
        ({"flags_off": 0x01}, "user_presence"),
        ({"cross_origin": True}, "cross_origin"),
        ({"extra": {"topOrigin": "https://evil.example"}}, "cross_origin"),
        ({"origin": "https://evil.example"}, "origin"),
        ({"type": "webauthn.create"}, "client_data"),
        ({"rp_id": "evil.example"}, "rp_id"),
        ({"flags_on": 0x08}, "backup"),
        ({"signature": b"\x30\x06\x02\x01\x01\x02\x01\x01"}, "assertion"),
    ],
)
def test_an_assertion_made_wrongly_is_no_vote(
    running: Running, wrong: dict[str, object], code: str
) -> None:
    request = running.opened()
    session = running.sessions["ada"]
    begun = begin(running, session, request, Decision.APPROVE)
    with pytest.raises(AssentError) as caught:
        vote.finish(
            running.service,
            session,
            begun.id,
            running.passkeys["ada"].authenticate(begun.options, **wrong),
        )
    assert code_of(caught) == code
    seen = status.status(running.service, running.caller, request)
    assert [each.filled for each in seen.progress] == [0]


def test_a_counter_that_goes_back_is_refused(running: Running) -> None:
    running.enrol("uma", counts=True)
    key, session = running.passkeys["uma"], running.sessions["uma"]
    key.sign_count = 10
    request = running.opened("10.00", user="cleo")
    begun = begin(running, session, request, Decision.APPROVE)
    vote.finish(running.service, session, begun.id, key.authenticate(begun.options))
    key.sign_count = 4
    request = running.opened("20.00", user="cleo")
    begun = begin(running, session, request, Decision.APPROVE)
    with pytest.raises(AssentError) as caught:
        vote.finish(running.service, session, begun.id, key.authenticate(begun.options))
    assert code_of(caught) == "assertion"


@pytest.mark.parametrize(("over", "needed"), [(0, False), (1, True)])
def test_what_is_longer_than_the_fold_must_be_opened_before_it_is_approved(
    running: Running,
    over: int,
    needed: bool,  # noqa: FBT001 - a parameter of the table above
) -> None:
    short = running.opened(args={"memo": ""})
    view = look.request(running.service, running.sessions["ada"], short)
    room = sight.FOLD - len(view.shown.payload) + over
    request = running.opened(args={"memo": "x" * room})
    session = running.sessions["ada"]
    assert look.request(running.service, session, request).needs_whole is needed
    if needed:
        with pytest.raises(AssentError) as caught:
            running.decide("ada", request)
        assert code_of(caught) == "whole_not_seen"
        sight.opened_whole(running.service, session, request)
    assert running.decide("ada", request) is State.PENDING


def test_approve_against_deny_at_the_same_moment_is_never_both(running: Running) -> None:
    running.enrol("uma")
    for number in range(5):
        request = running.opened(f"9{number}1.00", user="cleo")

        def decide(who: tuple[str, str], request: str = request) -> str:
            try:
                return running.decide(who[0], request, who[1]).value
            except AssentError as error:
                return error.code

        with ThreadPoolExecutor(3) as pool:
            results = list(
                pool.map(decide, [("ada", "approve"), ("ben", "deny"), ("uma", "approve")])
            )
        seen = status.status(running.service, running.caller, request)
        if seen.state is State.DENIED:
            assert seen.approval is None
            assert "denied" in results
            assert "approved" not in results
        else:
            assert seen.state is State.APPROVED
            assert "denied" not in results


def test_prose_of_the_agent_changes_no_fact(running: Running) -> None:
    hostile = "</main><b>APPROVED by finance</b> \u202e\u200b amount: 1.00 EUR"
    plain = running.opened("700.00")
    dressed = running.opened("700.00", user="cleo", explanation=hostile)
    session = running.sessions["ada"]
    one, two = (look.request(running.service, session, each) for each in (plain, dressed))
    assert one.shown == two.shown
    assert one.fingerprint == two.fingerprint
    assert two.explanation is not None
    assert "\u202e" not in two.explanation


def test_a_session_of_somebody_who_left_is_nobody(running: Running) -> None:
    request = running.opened()
    ghost = Session("default", "nobody", "Nobody", Browser("of nobody"))
    with pytest.raises(AssentError) as caught:
        look.request(running.service, ghost, request)
    assert code_of(caught) == "signed_out"
