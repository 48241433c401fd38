"""Evidence files: what holds offline, and that no byte of what matters can change unseen."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from approvals.core import b64, sizes
from approvals.core import directory as directories
from approvals.core import receipt as receipts
from approvals.core.calls import call_hash
from approvals.core.decision.ceremony import StepUp
from approvals.core.directory import Directory
from approvals.core.errors import Invalid
from approvals.core.evidence_file import EvidenceFile
from approvals.core.history.events import CallRefused, RequestCancelled
from approvals.core.tlog import checkpoint
from tests.company import (
    CALL,
    NOW,
    OCCASION,
    TWO_FROM_FINANCE,
    Company,
    digest_of,
    make_signing_key,
)
from tests.filed import (
    COMPANY,
    ORIGIN,
    SUBMITTED,
    allowed,
    check,
    event,
    evidence,
    failures,
    logged,
    refused,
    written,
)
from tests.vectors.make_receipt_vectors import receipt_for

if TYPE_CHECKING:
    from approvals.core.approval import Approval

WHOLE = evidence()
RAW = written(WHOLE)


def test_every_step_holds_and_is_named() -> None:
    findings = check(WHOLE)
    assert [found.step for found in findings] == [
        "form",
        "directory",
        "call",
        "request",
        "display",
        "votes[0]",
        "votes[1]",
        "approval",
        "receipt",
        "checkpoint",
        "events",
        "story",
        "complete",
    ]
    assert [found for found in findings if not found.ok] == []
    assert all(found.detail for found in findings)


@pytest.mark.parametrize(
    "file",
    [evidence(denied=True), evidence(spent=False), allowed(), refused()],
    ids=["denied", "unspent", "allowed", "refused"],
)
def test_other_endings_hold_too(file: EvidenceFile) -> None:
    assert failures(file) == {}


def test_a_file_reads_back_as_itself() -> None:
    assert EvidenceFile.from_document(json.loads(RAW)) == WHOLE


def test_a_vote_of_the_past_is_looked_up_and_everybody_of_the_past_only_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Would catch a stranger's file of many votes, each of which reads a large directory."""
    times: list[int] = []
    real = Directory.at

    def counted(people: Directory, time: int) -> Directory:
        times.append(time)
        return real(people, time)

    monkeypatch.setattr(Directory, "at", counted)
    findings = check(replace(WHOLE, votes=WHOLE.votes * 20))
    assert all(found.ok for found in findings if found.step.startswith("votes"))
    assert len(times) == 1  # for the places of its approval


def test_a_file_with_more_votes_than_a_request_can_have_is_refused_unread() -> None:
    most = replace(WHOLE, votes=WHOLE.votes[:1] * sizes.VOTES)
    assert EvidenceFile.from_document(most.document()) == most
    many = replace(most, votes=(*most.votes, WHOLE.votes[0])).document()
    with pytest.raises(Invalid, match=f"more than {sizes.VOTES}") as refused:
        EvidenceFile.from_document(many)
    assert refused.value.place == "file.votes"


def test_a_request_that_asks_more_than_an_approval_can_hold_is_refused() -> None:
    asked = replace(TWO_FROM_FINANCE, eligible=tuple(f"p{number:06}" for number in range(40_000)))
    assert WHOLE.request is not None
    request = replace(WHOLE.request, requirements=(asked,))
    assert failures(replace(WHOLE, request=request))["request"] == "request.requirements"


@pytest.mark.parametrize(
    "pinned",
    [
        COMPANY.directory,
        COMPANY.directory.document(),
        json.dumps(COMPANY.directory.document()),
        directories.sign(COMPANY.directory, key=COMPANY.key),
        None,
    ],
    ids=["parsed", "document", "text", "token", "not-pinned"],
)
def test_a_directory_is_pinned_in_any_form_or_taken_from_the_file(pinned: Any) -> None:
    assert failures(WHOLE, directory=pinned) == {}
    details = {found.step: found.detail for found in check(WHOLE, directory=pinned)}
    assert ("not pinned" in details["directory"]) is (pinned is None)


def test_a_stand_in_holds_where_the_directory_lists_them() -> None:
    away = replace(TWO_FROM_FINANCE, eligible=("ada", "dora"), stand_ins=(("dora", "ben"),))
    file = evidence(asked=away, second="dora")
    assert failures(file) == {}
    nobody = tuple(replace(person, stand_ins=()) for person in COMPANY.directory.people)
    unlisted = replace(COMPANY.directory, people=nobody)
    assert "approval" in failures(file, directory=unlisted)
    for wrong in ((), (("dora", "cleo"),)):
        file = evidence(asked=replace(away, stand_ins=wrong), second="dora")
        assert "approval" in failures(file)


def test_who_has_signed_with_other_keys_than_the_pinned_ones_is_not_believed() -> None:
    other = {"keys": [make_signing_key().public_jwk()]}
    assert {"approval", "receipt", "complete"} <= failures(WHOLE, jwks=other).keys()
    assert "directory" in failures(WHOLE, jwks=other, directory=None)
    vkey = checkpoint.vkey(ORIGIN, Ed25519PrivateKey.generate().public_key())
    assert failures(WHOLE, vkeys=[vkey]) == {
        step: step for step in ("checkpoint", "events", "story", "complete")
    }
    assert failures(WHOLE, issuer="https://other.example").keys() >= {"directory", "approval"}
    stranger = Company(key=COMPANY.key)
    found = failures(WHOLE, directory=stranger.directory)
    assert found.keys() >= {"votes[0]", "votes[1]", "approval"}
    assert found["votes[0]"] == "votes[0].evidence"


def test_a_click_holds_on_the_services_word_and_not_on_pinned_people() -> None:
    asked = replace(TWO_FROM_FINANCE, step_up=StepUp.SESSION)
    file = evidence(asked=asked, clicked=True)
    assert failures(file, directory=None) == {}
    assert failures(file) == {
        "approval": "approval.approvals[0]",
        "receipt": "receipt",
        "story": "story",
    }


def test_without_any_directory_passkeys_show_nothing() -> None:
    found = failures(replace(WHOLE, directory=None), directory=None)
    assert found["directory"] == "directory"
    assert found.keys() >= {"votes[0]", "votes[1]"}


# Bytes


def span(name: str) -> range:
    """Where in the file the value of the first member of this name stands, without its quotes."""
    start = RAW.index(f'"{name}": '.encode()) + len(name) + 4
    _, end = json.JSONDecoder().raw_decode(RAW[start:].decode())
    return range(start + 1, start + end - 1)


def flipped(position: int) -> bytes:
    other = b"A" if RAW[position : position + 1] != b"A" else b"B"
    return RAW[:position] + other + RAW[position + 1 :]


PARTS = {
    "call": {"form", "call", "request"},
    "request": {"form", "request", "display", "votes[0]", "approval", "story"},
    "display": {"form", "display"},
    "statement": {"form", "votes[0]"},
    "client_data_json": {"form", "votes[0]"},
    "authenticator_data": {"form", "votes[0]"},
    "signature": {"form", "votes[0]"},
    "public_key": {"form", "votes[0]"},
    "approval": {"approval"},
    "receipt": {"receipt"},
    "outcome": {"form", "story"},
    "leaf": {"form", "events"},
    "opening": {"form", "events"},
    "proof": {"form", "events"},
    "checkpoint": {"form", "checkpoint"},
    "complete": {"complete"},
    "directory": {"form", "complete"},
}


@pytest.mark.parametrize("part", PARTS)
def test_no_byte_of_a_part_can_change_and_the_step_says_so(part: str) -> None:
    places = span(part)
    step = max(1, len(places) // 150)
    for position in (*places[::step], places[-1]):
        found = failures(flipped(position))
        assert found, f"byte {position} of {part}"
        assert found.keys() & PARTS[part], f"byte {position} of {part}: {found}"
        assert found.keys() == {"form"} or all(found.values())


def test_no_byte_of_the_file_can_change() -> None:
    """Every 23rd byte; spaces between members say nothing and are passed over."""
    for position in range(0, len(RAW), 23):
        if RAW[position : position + 1] != b" ":
            assert failures(flipped(position)), (
                f"byte {position}: {RAW[position - 20 : position + 20]!r}"
            )


# Meaning


def signed(**changes: Any) -> str:
    """A receipt that the service signed, about something else than happened."""
    made = receipt_for(COMPANY, **{"consumed": NOW + 3, **changes})
    return receipts.sign(made, key=COMPANY.key)


def changed(path: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    document: Any = deepcopy(json.loads(RAW))
    inner = document
    for step in path[:-1]:
        inner = inner[step]
    if value is KeyError:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    assert isinstance(document, dict)
    return document


@pytest.mark.parametrize(
    ("path", "value", "step", "place"),
    [
        (("subject",), "req_" + "b" * 26, "approval", "approval.txn"),
        (("subject",), "vrd_" + OCCASION, "request", "request"),
        (("subject",), "xyz", "form", "file.subject"),
        (("typ",), "assent/evidence/1", "form", "file.typ"),
        (("surprise",), 1, "form", "file.surprise"),
        (("call",), CALL.canonical().decode() + " ", "call", "call"),
        (("call",), "{}", "call", "call.action_type"),
        (("request", "user"), "ada", "votes[0]", "votes[0].approver"),
        (("request",), None, "request", "request"),
        (("display", "title"), "Something harmless", "display", "display"),
        (("votes", 0, "approver"), "cleo", "votes[0]", "votes[0].approver"),
        (("votes", 0, "time"), NOW - 14, "approval", "approval.approvals[0]"),
        (("votes", 0, "channel"), "slack", "story", "events[2].channel"),
        (("votes", 0, "reason"), "why not", "story", "events[2].reason"),
        (("votes", 0, "decision"), "deny", "votes[0]", "votes[0].statement.decision"),
        (("votes", 0, "decision"), "perhaps", "form", "votes[0]"),
        (("votes", 0, "statement"), None, "votes[0]", "votes[0]"),
        (("approval",), None, "receipt", "receipt"),
        (("receipt",), None, "story", "events"),
        (("outcome",), None, "story", "events"),
        (("receipt",), "", "receipt", "receipt.header"),
        (("receipt",), {}, "form", "file.receipt"),
        (("receipt",), signed(use_id="use-2"), "story", "events[5].use_id"),
        (("receipt",), signed(consumed=NOW + 4), "story", "events[5].time"),
        (("receipt",), signed(consumed=NOW + 290), "receipt", "receipt.consumed"),
        (("receipt",), signed(audience="other"), "receipt", "receipt.aud"),
        (("receipt",), signed(call_hash=digest_of("x")), "receipt", "receipt.call_hash"),
        (
            ("receipt",),
            signed(jti="apr_" + "b" * 26, txn="req_" + "b" * 26),
            "receipt",
            "receipt.jti",
        ),
        (("outcome", "status"), "error", "story", "events[7].status"),
        (("outcome", "reported"), NOW + 5, "story", "events[7].time"),
        (("events", 0), KeyError, "events", "events[0].leaf"),
        (("events", 2), KeyError, "events", "events[2].leaf"),
        (("events", 4), KeyError, "events", "events[4].leaf"),
        (("events", 5), KeyError, "events", "events[5].leaf"),
        (("events", 7), KeyError, "story", "events"),
        (("events", 7), KeyError, "complete", "complete.events"),
        (("events",), [], "story", "events"),
        (("checkpoint",), "", "checkpoint", "checkpoint"),
        (("directory",), "x.y.z", "complete", "complete.content"),
    ],
)
def test_a_file_that_tells_it_differently_fails_there(
    path: tuple[str | int, ...], value: Any, step: str, place: str | None
) -> None:
    found = failures(changed(path, value))
    if place is None:  # the keys that count are the pinned ones
        assert found == {}
    else:
        assert found[step] == place


def test_events_told_twice_or_out_of_order_are_refused() -> None:
    events = json.loads(RAW)["events"]
    twice, reversed_ = (
        changed(("events",), [*events, events[-1]]),
        changed(("events",), events[::-1]),
    )
    assert failures(twice)["events"] == "events[8].leaf"
    assert failures(reversed_)["events"] == "events[0].leaf"


def test_an_event_of_another_request_is_refused() -> None:
    about = {"request_digest": digest_of("another")}
    found, note = logged([event(RequestCancelled, NOW, about, subject="req_x")])
    assert failures(replace(WHOLE, events=found, checkpoint=note))["story"] == "events"
    found, note = logged(
        [
            event(
                CallRefused,
                NOW,
                {"verdict": "vrd_x"},
                subject="vrd_x",
                code="forbidden",
                **SUBMITTED,
            )
        ]
    )
    assert failures(replace(refused(), events=found, checkpoint=note))["story"] == "events[0]"


def test_erased_openings_leave_the_rest_provable() -> None:
    erased = tuple(replace(one, opening={}) for one in WHOLE.events)
    assert failures(replace(WHOLE, events=erased)) == {}
    partly = changed(("events", 0, "opening"), {})
    assert failures(partly) == {}


def test_an_approval_that_people_did_not_give_fails_though_the_service_signed_it() -> None:
    """The operator holds the signing key and the log's key, and edits everything."""
    assert WHOLE.request is not None
    alone = COMPANY.approval(WHOLE.request, [COMPANY.vote("ada", WHOLE.request)])
    forged = replace(alone, approvals=alone.approvals * 2)
    found = failures(replace(WHOLE, approval=COMPANY.token(forged)))
    assert found["approval"] == "approval.approvals[1].approver"
    others = Company(key=COMPANY.key)
    votes = [others.vote("ada", WHOLE.request), others.vote("ben", WHOLE.request)]
    fake: Approval = others.approval(WHOLE.request, votes)
    found = failures(replace(WHOLE, approval=COMPANY.token(fake), votes=tuple(votes)))
    assert found["votes[0]"] == "votes[0].evidence"
    assert found["approval"] == "approval.approvals[0].evidence"


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[]", b"null", b'{"typ":1,"typ":2}', b"\xff", RAW[:-1]]
)
def test_what_is_no_evidence_file_is_one_finding(raw: bytes) -> None:
    findings = check(raw)
    assert [(found.step, found.ok) for found in findings] == [("form", False)]


def test_the_canonical_text_is_what_is_compared() -> None:
    loose = json.dumps(json.loads(WHOLE.call))
    assert failures(replace(WHOLE, call=loose)).keys() >= {"call"}
    assert b64.decode(call_hash(CALL))
