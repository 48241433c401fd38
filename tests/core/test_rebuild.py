"""State is rebuilt from leaves alone, and only a state that the service can be in."""

from __future__ import annotations

import pytest

from approvals.core.errors import ProofError
from approvals.core.history.events import EVENTS, ApprovalConsumed
from approvals.core.history.leaves import FIRST, Chain, seal
from approvals.core.history.rebuild import Became, Use, rebuild
from approvals.core.merkle import leaf_hash
from approvals.core.requests import State
from tests.events import some_event

SALT = bytes(32)
OPENED = ("request.opened", "req_a")
APPROVE = ("vote.approve", "req_a")
DENY = ("vote.deny", "req_a")
APPROVED = ("request.approved", "req_a")
ALLOWED = ("call.allowed", "vrd_b")
LAPSED = ("approval.lapsed", "vrd_b")
CONSUMED = ("approval.consumed", "vrd_b")
REPORTED = ("outcome.reported", "vrd_b")

Told = tuple[str, str]


def ended(how: str) -> Told:
    return (f"request.{how}", "req_a")


def leaves(story: list[Told]) -> list[bytes]:
    """A log of this story: each event linked to the one of its subject before it."""
    chains: dict[str, Chain] = {}
    made = []
    for kind, subject in story:
        event = some_event(EVENTS[kind], subject, approval=f"apr_{subject[4:]}")
        chain = chains.setdefault(subject, Chain())
        made.append(seal(event, link=chain.next(), salt=SALT).leaf)
        chain.add(made[-1])
    return made


@pytest.mark.parametrize(
    ("story", "became"),
    [
        ([], {}),
        ([OPENED, APPROVE], {"req_a": State.PENDING}),
        ([OPENED, APPROVE, APPROVED], {"req_a": State.APPROVED, "apr_a": Use.LIVE}),
        ([OPENED, APPROVE, DENY, ended("denied")], {"req_a": State.DENIED}),
        ([OPENED, ended("expired")], {"req_a": State.EXPIRED}),
        ([OPENED, ended("cancelled")], {"req_a": State.CANCELLED}),
        ([OPENED, ended("revoked")], {"req_a": State.REVOKED}),
        ([OPENED, APPROVED, ended("revoked")], {"req_a": State.REVOKED, "apr_a": Use.LIVE}),
        ([ALLOWED, CONSUMED, REPORTED], {"apr_b": Use.SPENT}),
        ([ALLOWED, OPENED, LAPSED], {"apr_b": Use.LAPSED, "req_a": State.PENDING}),
        ([("request.repeated", "req_a"), ("bundle.activated", "bundles")], {}),
    ],
)
def test_what_became_of_each(story: list[Told], became: dict[str, Became]) -> None:
    assert rebuild(leaves(story)).became == became


@pytest.mark.parametrize(
    "story",
    [
        [APPROVE],
        [APPROVED],
        [OPENED, OPENED],
        *([OPENED, ended(how), APPROVE] for how in ("denied", "expired", "cancelled", "revoked")),
        *([OPENED, ended(how), APPROVED] for how in ("denied", "expired", "cancelled", "revoked")),
        [OPENED, APPROVED, APPROVED],
        [OPENED, APPROVED, ended("expired")],
        [OPENED, ended("revoked"), ended("revoked")],
        [CONSUMED],
        [ALLOWED, ALLOWED],
        [ALLOWED, CONSUMED, CONSUMED],
        [ALLOWED, LAPSED, CONSUMED],
        [ALLOWED, CONSUMED, LAPSED],
        [ALLOWED, REPORTED],
        [("approval.consumed", "req_a")],
    ],
)
def test_what_cannot_have_happened_is_refused(story: list[Told]) -> None:
    with pytest.raises(ProofError) as refused:
        rebuild(leaves(story))
    assert (refused.value.code, refused.value.place) == ("impossible", f"leaf {len(story) - 1}")


def test_an_approval_of_another_subject_is_refused() -> None:
    other = some_event(ApprovalConsumed, "vrd_c", approval="apr_b")
    told = [*leaves([ALLOWED]), seal(other, link=FIRST, salt=SALT).leaf]
    with pytest.raises(ProofError) as refused:
        rebuild(told)
    assert (refused.value.code, refused.value.place) == ("impossible", "leaf 1")


STORY = [OPENED, ALLOWED, APPROVE, APPROVE, APPROVED, CONSUMED]


def test_how_far_each_subject_goes_is_told() -> None:
    told = leaves(STORY)
    assert rebuild(told).chains == {
        "default/req_a": (4, leaf_hash(told[4])),
        "default/vrd_b": (2, leaf_hash(told[5])),
    }


@pytest.mark.parametrize("missing", range(4))
def test_an_event_that_is_missing_before_another_is_noticed(missing: int) -> None:
    told = leaves(STORY)
    with pytest.raises(ProofError) as refused:
        rebuild(told[:missing] + told[missing + 1 :])
    assert refused.value.code == "chain"


def test_an_event_that_was_put_between_two_is_noticed() -> None:
    """Two votes of equal number and another text: the events after it name the one that was."""
    told = leaves([OPENED, APPROVE, APPROVED])
    told[1] = leaves([OPENED, ("vote.deny", "req_a")])[1]
    with pytest.raises(ProofError) as refused:
        rebuild(told)
    assert (refused.value.code, refused.value.place) == ("chain", "leaf 2")


def test_what_is_no_leaf_is_refused() -> None:
    with pytest.raises(ProofError) as refused:
        rebuild([b"{}"])
    assert refused.value.code == "event"
