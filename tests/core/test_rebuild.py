"""State is rebuilt from leaves alone, and only a state that the service can be in."""

from __future__ import annotations

import pytest

from approvals.core.errors import ProofError
from approvals.core.events import Event, EventType, seal
from approvals.core.rebuild import Became, Use, rebuild
from approvals.core.requests import State

SALT = bytes(32)
OPENED = ("request.opened", {"request": "req_a"})
APPROVE = ("vote.approve", {"request": "req_a"})
DENY = ("vote.deny", {"request": "req_a"})
APPROVED = ("request.approved", {"request": "req_a", "approval": "apr_a"})
ALLOWED = ("call.allowed", {"verdict": "vrd_b", "approval": "apr_b"})
LAPSED = ("approval.lapsed", {"approval": "apr_b"})
CONSUMED = ("approval.consumed", {"approval": "apr_b"})
REPORTED = ("outcome.reported", {"approval": "apr_b"})

Told = tuple[str, dict[str, str]]


def ended(how: str) -> Told:
    return (f"request.{how}", {"request": "req_a"})


def leaf(told: Told) -> bytes:
    kind, public = told
    return seal(Event(EventType(kind), 1, "default", public, {}), salt=SALT).leaf


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
        ([("request.repeated", {"request": "req_a"}), ("bundle.activated", {})], {}),
    ],
)
def test_what_became_of_each(story: list[Told], became: dict[str, Became]) -> None:
    assert rebuild(map(leaf, story)) == became


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
        [("request.opened", {})],
    ],
)
def test_what_cannot_have_happened_is_refused(story: list[Told]) -> None:
    with pytest.raises(ProofError) as refused:
        rebuild(map(leaf, story))
    assert (refused.value.code, refused.value.place) == ("impossible", f"leaf {len(story) - 1}")


def test_what_is_no_leaf_is_refused() -> None:
    with pytest.raises(ProofError) as refused:
        rebuild([b"{}"])
    assert refused.value.code == "event"
