"""A leaf tells what is public, commits to what is personal, and verifies without the latter."""

from __future__ import annotations

import hmac
import json
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals.core import b64, canonical, events
from approvals.core.errors import AdmissionError, ProofError
from approvals.core.events import Event, EventType, LeafEvent

SALT = bytes(range(32))
EVENT = Event(
    EventType.VOTE_APPROVE,
    1_790_000_000,
    "default",
    {"request": "req_1", "call_hash": "FdawgFwgN5tAtiZa-SCkVDrV3dS9w1yeXVQaDaZLQQQ"},
    {"approver": "ada", "reason": {"text": "canary-7f3a", "amount": 4000}},
)
SEALED = events.seal(EVENT, salt=SALT)

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
members = st.dictionaries(st.text(), values, max_size=4)
public_members = st.dictionaries(
    st.text().filter(lambda name: name not in events._OWN_MEMBERS), values, max_size=4
)


def opened(**changes: Any) -> dict[str, Any]:
    return {**json.loads(json.dumps(SEALED.opening)), **changes}


def test_the_leaf_is_the_canonical_form_of_the_event() -> None:
    """Computed from the formula alone, so that another program can make the same leaf."""
    expected: dict[str, Any] = {
        "typ": "assent/event/1",
        "type": "vote.approve",
        "time": 1_790_000_000,
        "tenant": "default",
        "request": "req_1",
        "call_hash": "FdawgFwgN5tAtiZa-SCkVDrV3dS9w1yeXVQaDaZLQQQ",
        "sealed": {},
    }
    for name, text in (
        ("approver", b'"ada"'),
        ("reason", b'{"amount":4000,"text":"canary-7f3a"}'),
    ):
        salt = hmac.new(SALT, name.encode(), sha256).digest()
        preimage = b"assent/commitment/1\x00" + name.encode() + b"\x00" + salt + text
        expected["sealed"][name] = b64.encode(sha256(preimage).digest())
    assert SEALED.leaf == canonical.encode(expected)


def test_a_leaf_does_not_tell_what_is_personal() -> None:
    assert b"canary-7f3a" not in SEALED.leaf
    assert b"ada" not in SEALED.leaf


def test_equal_values_are_committed_to_differently() -> None:
    """Would catch a commitment that can be looked up in another event, or in a table of guesses."""
    again = events.seal(EVENT, salt=SALT[::-1])
    assert events.parse_leaf(again.leaf).sealed != events.parse_leaf(SEALED.leaf).sealed
    twice = events.seal(
        Event(EventType.VOTE_DENY, 1, "default", {}, {"a": "ada", "b": "ada"}), salt=SALT
    )
    assert len(set(events.parse_leaf(twice.leaf).sealed.values())) == 2


@given(public_members, members, st.sampled_from(EventType), st.binary(min_size=16, max_size=32))
def test_every_event_is_read_and_opened_as_it_was_sealed(
    public: dict[str, Any], personal: dict[str, Any], kind: EventType, salt: bytes
) -> None:
    sealed = events.seal(Event(kind, 7, "default", public, personal), salt=salt)
    read = events.parse_leaf(sealed.leaf)
    assert read == LeafEvent(kind, 7, "default", public, read.sealed)
    assert events.verify_opening(sealed.leaf, sealed.opening) == personal
    for name, value in personal.items():
        one = {name: sealed.opening[name]}
        assert events.verify_opening(sealed.leaf, one) == {name: value}


def test_an_erased_opening_leaves_the_leaf_as_it_was() -> None:
    assert events.verify_opening(SEALED.leaf, {}) == {}
    assert events.parse_leaf(SEALED.leaf).sealed.keys() == {"approver", "reason"}


@pytest.mark.parametrize(
    "opening",
    [
        opened(approver={**opened()["approver"], "value": "bob"}),
        opened(approver={**opened()["approver"], "value": ["ada"]}),
        opened(approver={**opened()["approver"], "salt": b64.encode(bytes(32))}),
        opened(approver={**opened()["approver"], "salt": b64.encode(bytes(16))}),
        opened(approver={**opened()["approver"], "salt": "="}),
        opened(approver={**opened()["approver"], "salt": None}),
        opened(approver={**opened()["approver"], "value": float("nan")}),
        opened(approver={**opened()["approver"], "more": 1}),
        opened(approver={"value": "ada"}),
        opened(approver="ada"),
        opened(approver=opened()["reason"]),
        opened(reviewer=opened()["approver"]),
    ],
)
def test_another_opening_is_refused(opening: dict[str, Any]) -> None:
    events.verify_opening(SEALED.leaf, opened())
    with pytest.raises(ProofError) as refusal:
        events.verify_opening(SEALED.leaf, opening)
    assert (refusal.value.code, refusal.value.place) in {
        ("opening", "approver"),
        ("opening", "reviewer"),
    }


def test_bytes_do_not_move_between_salt_and_value() -> None:
    """A commitment over salt and value without a fixed length could be opened in two ways."""
    salt = b64.decode(opened()["approver"]["salt"])
    for count in (31, 33):
        moved = b64.encode((salt + b'"ada"')[:count])
        with pytest.raises(ProofError):
            events.verify_opening(SEALED.leaf, {"approver": {"salt": moved, "value": "ada"}})


def leaf(**changes: Any) -> bytes:
    return canonical.encode({**json.loads(SEALED.leaf), **changes})


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        SEALED.leaf + b"\n",
        json.dumps(json.loads(SEALED.leaf)).encode(),
        leaf(typ="assent/event/2"),
        leaf(type="vote.maybe"),
        leaf(type=None),
        leaf(time="1790000000"),
        leaf(time=1.5),
        leaf(time=True),
        leaf(tenant=None),
        leaf(sealed=None),
        leaf(sealed={"approver": 1}),
        canonical.encode(
            {name: value for name, value in json.loads(SEALED.leaf).items() if name != "sealed"}
        ),
        leaf(padding="x" * events.MAX_LEAF),
    ],
)
def test_other_bytes_are_not_leaves(raw: bytes) -> None:
    assert events.parse_leaf(leaf()).type is EventType.VOTE_APPROVE
    with pytest.raises(ProofError) as refusal:
        events.parse_leaf(raw)
    assert refusal.value.code == "event"


@pytest.mark.parametrize("name", ["typ", "type", "time", "tenant", "sealed"])
def test_an_event_does_not_overwrite_the_leafs_own_members(name: str) -> None:
    with pytest.raises(ProofError) as refusal:
        events.seal(Event(EventType.VOTE_DENY, 1, "default", {name: 1}, {}), salt=SALT)
    assert (refusal.value.code, refusal.value.place) == ("event", name)


def test_a_salt_is_long_enough_and_a_leaf_is_not_too_long() -> None:
    with pytest.raises(ProofError):
        events.seal(EVENT, salt=bytes(15))
    long = Event(EventType.VOTE_DENY, 1, "default", {"text": "x" * events.MAX_LEAF}, {})
    with pytest.raises(ProofError) as refusal:
        events.seal(long, salt=SALT)
    assert refusal.value.code == "event"


def test_what_is_not_json_is_not_sealed() -> None:
    personal: Any = {"at": object()}
    with pytest.raises(AdmissionError):
        events.seal(Event(EventType.VOTE_DENY, 1, "default", {}, personal), salt=SALT)
