"""What a passkey signs at a sign-in or a decision: whose it is, what for, and how it is counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest

from approvals.core import b64
from approvals.core.decision import ceremony
from approvals.core.decision.ceremony import Decision
from approvals.core.decision.occasion import Purpose
from approvals.core.errors import Conflict, EvidenceError
from approvals.core.requests import State
from approvals.flow.acting import sight
from approvals.flow.deciding import look, vote
from approvals.flow.people import enrol, linking, retire, signin
from tests.flow.lives import code_of, events, session_of, sign_in

if TYPE_CHECKING:
    from tests.service import Running


@pytest.mark.parametrize("handle", ["", None])
def test_an_empty_user_handle_is_an_absent_one(running: Running, handle: str | None) -> None:
    """Some password managers write it so; where the passkey was named it need not tell whose."""
    ada, request = running.sessions["ada"], running.opened("20.00")
    sight.seen(running.service, ada, request)
    begun = vote.begin(running.service, ada, request, Decision.APPROVE)
    answer = running.passkeys["ada"].authenticate(begun.options)
    answer["response"]["userHandle"] = handle
    assert vote.finish(running.service, ada, begun.id, answer) is State.APPROVED


def test_at_a_sign_in_the_passkey_must_say_whose_it_is(running: Running) -> None:
    begun = signin.begin(running.service)
    answer = running.passkeys["ada"].authenticate(begun.options)
    answer["response"]["userHandle"] = ""
    assert code_of(lambda: signin.finish(running.service, begun.id, answer)) == "unknown_passkey"


def test_what_is_signed_says_what_for_and_is_good_for_nothing_else(running: Running) -> None:
    """Each challenge is the digest of a document of its own type."""
    ada, key = running.sessions["ada"], running.passkeys["ada"]
    request = running.opened("20.00")
    sight.seen(running.service, ada, request)
    decision = vote.begin(running.service, ada, request, Decision.APPROVE)
    held = b64.encode(key.credential_id)
    begun = {
        "assent/sign-in/1": signin.begin(running.service),
        "assent/proof/1 add-passkey": enrol.begin_further(running.service, ada),
        "assent/proof/1 link-account": linking.begin_link(running.service, ada),
        "assent/proof/1 unlink-account": linking.begin_unlink(running.service, ada),
        "assent/proof/1 revoke-passkey": retire.begin_revoke(running.service, ada, held),
    }
    for name, given in begun.items():
        told = orjson.loads(given.statement)
        typ = name.split(" ")[0]
        assert told["typ"] == typ
        assert name in {typ, f"{typ} {told['purpose']}"}
        assert b64.decode(given.options["challenge"]) == ceremony.challenge_of(typ, told)
        answer = key.authenticate(given.options)
        with pytest.raises((Conflict, EvidenceError)):
            vote.finish(running.service, ada, given.id, answer)
        again = vote.begin(running.service, ada, request, Decision.APPROVE)
        with pytest.raises(EvidenceError) as caught:
            vote.finish(running.service, ada, again.id, answer)
        assert caught.value.code == "challenge"
    assert orjson.loads(decision.text) == decision.statement.document()
    signed = key.authenticate(decision.options)
    assert code_of(lambda: signin.finish(running.service, decision.id, signed)) == "ceremony_used"


def test_signatures_are_counted_and_those_that_never_came_here_show(running: Running) -> None:
    """Whoever serves the page can ask for one more signature, and cannot count it back."""
    running.enrol("cleo", counts=True, sign_count=3)
    key = running.passkeys["cleo"]
    sign_in(running, key)
    elsewhere = {"challenge": b64.encode(bytes(32))}
    key.authenticate(elsewhere)
    key.authenticate(elsewhere)
    cleo = session_of(running, sign_in(running, key))
    (held,) = look.passkeys(running.service, cleo)
    assert (held.uses, held.decisions, held.unseen) == (2, 0, 2)
    used = events(running, "passkey.used")
    assert [(told["purpose"], told["unseen"]) for _, told in used] == [
        (Purpose.SIGN_IN, 0),
        (Purpose.SIGN_IN, 2),
    ]
    assert used[-1][1]["person"] == "cleo"


def test_a_decision_is_counted_as_one(running: Running) -> None:
    request = running.opened("20.00")
    running.decide("ada", request)
    (held,) = look.passkeys(running.service, running.sessions["ada"])
    assert (held.uses, held.decisions, held.unseen) == (1, 1, 0)
    assert held.last_used is not None
    ((leaf, opened),) = events(running, "passkey.used")
    assert opened["purpose"] == "decide"
    # Nobody who reads the log can count whose it is: each use has a subject of its own.
    assert leaf["subject"].startswith("cer_")
