"""A leaf tells what is public, commits to what is personal, and verifies without the latter."""

from __future__ import annotations

import hmac
import json
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals.core import b64, canonical
from approvals.core.errors import AdmissionError, ProofError
from approvals.core.history import events
from approvals.core.history.events import SHAPES, Event, EventType, LeafEvent, Link

SALT = bytes(range(32))
LINK = Link(3, bytes(range(32)))
EVENT = Event(
    EventType.VOTE_APPROVE,
    1_790_000_000,
    "default",
    "req_1",
    {
        "request_digest": "FdawgFwgN5tAtiZa-SCkVDrV3dS9w1yeXVQaDaZLQQQ",
        "statement": None,
        "evidence": None,
    },
    {
        "approver": "ada",
        "reason": {"text": "canary-7f3a", "amount": 4000},
        "step_up": "passkey",
        "channel": "web",
    },
)
SEALED = events.seal(EVENT, link=LINK, salt=SALT)

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
links = st.just(events.FIRST) | st.builds(
    Link, st.integers(1, 2**53 - 1), st.binary(min_size=32, max_size=32)
)


@st.composite
def whole_events(draw: st.DrawFn) -> Event:
    kind = draw(st.sampled_from(sorted(SHAPES)))
    shape = SHAPES[kind]
    subject = draw(st.sampled_from(shape.subjects))
    return Event(
        kind,
        7,
        "default",
        subject + draw(st.text(min_size=1)) if subject.endswith("_") else subject,
        draw(st.fixed_dictionaries(dict.fromkeys(shape.open, values))),
        draw(st.fixed_dictionaries(dict.fromkeys(shape.sealed, values))),
    )


def opened(**changes: Any) -> dict[str, Any]:
    return {**json.loads(json.dumps(SEALED.opening)), **changes}


def test_the_leaf_is_the_canonical_form_of_the_event() -> None:
    """Computed from the formula alone, so that another program can make the same leaf."""
    expected: dict[str, Any] = {
        "typ": "assent/event/2",
        "type": "vote.approve",
        "time": 1_790_000_000,
        "tenant": "default",
        "subject": "req_1",
        "seq": 3,
        "previous": b64.encode(bytes(range(32))),
        "request_digest": "FdawgFwgN5tAtiZa-SCkVDrV3dS9w1yeXVQaDaZLQQQ",
        "statement": None,
        "evidence": None,
        "sealed": {},
    }
    for name, text in (
        ("approver", b'"ada"'),
        ("channel", b'"web"'),
        ("reason", b'{"amount":4000,"text":"canary-7f3a"}'),
        ("step_up", b'"passkey"'),
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
    again = events.seal(EVENT, link=LINK, salt=SALT[::-1])
    assert events.parse_leaf(again.leaf).sealed != events.parse_leaf(SEALED.leaf).sealed
    alike = replace(EVENT, secret=dict.fromkeys(EVENT.secret, "ada"))
    twice = events.seal(alike, link=LINK, salt=SALT)
    assert len(set(events.parse_leaf(twice.leaf).sealed.values())) == 4


@given(whole_events(), links, st.binary(min_size=16, max_size=32))
def test_every_event_is_read_and_opened_as_it_was_sealed(
    event: Event, link: Link, salt: bytes
) -> None:
    sealed = events.seal(event, link=link, salt=salt)
    read = events.parse_leaf(sealed.leaf)
    assert read == LeafEvent(
        event.type, 7, "default", event.subject, link, {**event.public}, read.sealed
    )
    assert events.verify_opening(sealed.leaf, sealed.opening) == event.secret
    for name, value in event.secret.items():
        one = {name: sealed.opening[name]}
        assert events.verify_opening(sealed.leaf, one) == {name: value}


def test_an_erased_opening_leaves_the_leaf_as_it_was() -> None:
    assert events.verify_opening(SEALED.leaf, {}) == {}
    assert events.parse_leaf(SEALED.leaf).sealed.keys() == EVENT.secret.keys()


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
        leaf(typ="assent/event/1"),
        leaf(subject=None),
        leaf(subject="vrd_1"),
        leaf(subject="req_"),
        leaf(seq=-1),
        leaf(seq=True),
        leaf(seq="3"),
        leaf(seq=0),
        leaf(previous=None),
        leaf(previous=b64.encode(bytes(31))),
        leaf(previous="="),
        leaf(previous=1),
        leaf(call_hash="FdawgFwgN5tAtiZa-SCkVDrV3dS9w1yeXVQaDaZLQQQ"),
        leaf(sealed={**json.loads(SEALED.leaf)["sealed"], "more": "x"}),
        leaf(sealed={"approver": "x"}),
        leaf(type="vote.maybe"),
        leaf(type=None),
        leaf(time="1790000000"),
        leaf(time=1.5),
        leaf(time=True),
        leaf(tenant=None),
        leaf(sealed=None),
        leaf(sealed={"approver": 1}),
        *(
            canonical.encode(
                {name: v for name, v in json.loads(SEALED.leaf).items() if name != out}
            )
            for out in ("sealed", "subject", "seq", "previous", "statement")
        ),
        leaf(statement="x" * events.MAX_LEAF),
    ],
)
def test_other_bytes_are_not_leaves(raw: bytes) -> None:
    assert events.parse_leaf(leaf()).type is EventType.VOTE_APPROVE
    with pytest.raises(ProofError) as refusal:
        events.parse_leaf(raw)
    assert refusal.value.code == "event"


@pytest.mark.parametrize("name", ["typ", "type", "time", "tenant", "subject", "seq", "sealed"])
def test_an_event_does_not_overwrite_the_leafs_own_members(name: str) -> None:
    with pytest.raises(ProofError) as refusal:
        events.seal(replace(EVENT, public={**EVENT.public, name: 1}), link=LINK, salt=SALT)
    assert (refusal.value.code, refusal.value.place) == ("event", name)


@pytest.mark.parametrize(
    ("event", "place"),
    [
        (replace(EVENT, public={**EVENT.public, "approver": "ada"}), "approver"),
        (replace(EVENT, public={"statement": None, "evidence": None}), "request_digest"),
        (replace(EVENT, secret={**EVENT.secret, "more": 1}), "more"),
        (replace(EVENT, secret={}), "approver"),
        (replace(EVENT, subject="vrd_1"), "subject"),
        (replace(EVENT, subject="req_"), "subject"),
        (replace(EVENT, type=EventType.BUNDLE_ACTIVATED, subject="bundles_x"), "subject"),
        (replace(EVENT, type=EventType.APPROVAL_ISSUED), "type"),
    ],
)
def test_an_event_that_is_not_of_its_types_shape_is_not_sealed(event: Event, place: str) -> None:
    """The wall against the next member that would tell a secret in the open."""
    with pytest.raises(ProofError) as refusal:
        events.seal(event, link=LINK, salt=SALT)
    assert (refusal.value.code, refusal.value.place) == ("event", place)


def test_a_salt_is_long_enough_and_a_leaf_is_not_too_long() -> None:
    with pytest.raises(ProofError):
        events.seal(EVENT, link=LINK, salt=bytes(15))
    long = replace(EVENT, public={**EVENT.public, "statement": "x" * events.MAX_LEAF})
    with pytest.raises(ProofError) as refusal:
        events.seal(long, link=LINK, salt=SALT)
    assert refusal.value.code == "event"


def test_what_is_not_json_is_not_sealed() -> None:
    secret: Any = {**EVENT.secret, "reason": object()}
    with pytest.raises(AdmissionError):
        events.seal(replace(EVENT, secret=secret), link=LINK, salt=SALT)
