"""A leaf tells what is public, commits to what is personal, and verifies without the latter."""

from __future__ import annotations

import hmac
import json
from dataclasses import fields, replace
from hashlib import sha256
from types import NoneType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals.core import b64, canonical
from approvals.core.errors import AdmissionError, ProofError
from approvals.core.history import leaves
from approvals.core.history.events import (
    ERASED,
    EVENTS,
    BundleActivated,
    Event,
    VoteApprove,
    event_of,
    shape_of,
)
from approvals.core.history.leaves import LeafEvent, Link

SALT = bytes(range(32))
LINK = Link(3, bytes(range(32)))
EVENT = VoteApprove(
    time=1_790_000_000,
    tenant="default",
    subject="req_1",
    request_digest="FdawgFwgN5tAtiZa-SCkVDrV3dS9w1yeXVQaDaZLQQQ",
    statement=None,
    evidence=None,
    approver="ada",
    reason="canary-7f3a",
    step_up="passkey",
    channel="web",
)
SEALED = leaves.seal(EVENT, link=LINK, salt=SALT)
LEAF = leaves.parse_leaf(SEALED.leaf)

VALUES: dict[type, st.SearchStrategy[Any]] = {
    str: st.text(),
    int: st.integers(-(2**53) + 1, 2**53 - 1),
    bool: st.booleans(),
    NoneType: st.none(),
    list: st.lists(st.text(), max_size=3),
}
links = st.just(leaves.FIRST) | st.builds(
    Link, st.integers(1, 2**53 - 1), st.binary(min_size=32, max_size=32)
)


@st.composite
def whole_events(draw: st.DrawFn) -> Event:
    kind = EVENTS[draw(st.sampled_from(sorted(EVENTS)))]
    subject = draw(st.sampled_from(kind.ABOUT))
    shape = shape_of(kind)

    def members(types: Any) -> Any:
        return draw(
            st.fixed_dictionaries(
                {name: st.one_of([VALUES[it] for it in sorted(of, key=str)]) for name, of in types}
            )
        )

    return event_of(
        kind.TYPE,
        time=7,
        tenant="default",
        subject=subject + draw(st.text(min_size=1)) if subject.endswith("_") else subject,
        open_members=members(shape.open.items()),
        sealed_members=members(shape.sealed.items()),
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
        ("reason", b'"canary-7f3a"'),
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
    again = leaves.seal(EVENT, link=LINK, salt=SALT[::-1])
    assert leaves.parse_leaf(again.leaf).sealed != leaves.parse_leaf(SEALED.leaf).sealed
    alike = replace(EVENT, approver="ada", reason="ada", step_up="ada", channel="ada")
    twice = leaves.seal(alike, link=LINK, salt=SALT)
    assert len(set(leaves.parse_leaf(twice.leaf).sealed.values())) == 4


@given(whole_events(), links, st.binary(min_size=16, max_size=32))
def test_every_event_is_read_and_opened_as_it_was_sealed(
    event: Event, link: Link, salt: bytes
) -> None:
    sealed = leaves.seal(event, link=link, salt=salt)
    read = leaves.parse_leaf(sealed.leaf)
    hidden: Any = dict.fromkeys(shape_of(type(event)).sealed, ERASED)
    assert read == LeafEvent(replace(event, **hidden), link, read.sealed)
    assert leaves.verify_opening(read, sealed.opening) == event
    for name in sealed.opening:
        one = leaves.verify_opening(read, {name: sealed.opening[name]})
        assert one == replace(event, **{**hidden, name: getattr(event, name)})


def test_an_erased_opening_leaves_the_leaf_as_it_was() -> None:
    erased = leaves.verify_opening(LEAF, {})
    assert erased == LEAF.event
    assert set(erased.erased()) == LEAF.sealed.keys() == shape_of(VoteApprove).sealed.keys()


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
    leaves.verify_opening(LEAF, opened())
    with pytest.raises(ProofError) as refusal:
        leaves.verify_opening(LEAF, opening)
    assert (refusal.value.code, refusal.value.place) in {
        ("opening", "approver"),
        ("opening", "reviewer"),
    }


def test_what_commits_to_nothing_opens_to_nothing() -> None:
    empty = LeafEvent(LEAF.event, LINK, {**LEAF.sealed, "approver": ""})
    for salt in ("", b64.encode(bytes(16)), opened()["approver"]["salt"]):
        with pytest.raises(ProofError):
            leaves.verify_opening(empty, {"approver": {"salt": salt, "value": "bob"}})


def test_bytes_do_not_move_between_salt_and_value() -> None:
    """A commitment over salt and value without a fixed length could be opened in two ways."""
    salt = b64.decode(opened()["approver"]["salt"])
    for count in (31, 33):
        moved = b64.encode((salt + b'"ada"')[:count])
        with pytest.raises(ProofError):
            leaves.verify_opening(LEAF, {"approver": {"salt": moved, "value": "ada"}})


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
        leaf(statement=1),
        leaf(request_digest=None),
        leaf(sealed=None),
        leaf(sealed={"approver": 1}),
        leaf(sealed={**LEAF.sealed, "approver": ""}),
        leaf(sealed={**LEAF.sealed, "approver": LEAF.sealed["approver"] + "="}),
        *(
            canonical.encode(
                {name: v for name, v in json.loads(SEALED.leaf).items() if name != out}
            )
            for out in ("sealed", "subject", "seq", "previous", "statement")
        ),
        leaf(statement="x" * leaves.MAX_LEAF),
    ],
)
def test_other_bytes_are_not_leaves(raw: bytes) -> None:
    assert isinstance(leaves.parse_leaf(leaf()).event, VoteApprove)
    with pytest.raises(ProofError) as refusal:
        leaves.parse_leaf(raw)
    assert refusal.value.code == "event"


@pytest.mark.parametrize("kind", EVENTS.values())
def test_no_event_has_a_member_of_the_leafs_own_names(kind: type[Event]) -> None:
    shape = shape_of(kind)
    assert not leaves._OWN_MEMBERS & (shape.open.keys() | shape.sealed.keys())
    assert not shape.open.keys() & shape.sealed.keys()


@pytest.mark.parametrize("kind", EVENTS.values())
def test_every_member_of_an_event_is_declared_open_or_sealed(kind: type[Event]) -> None:
    """The wall against the next member that would tell a secret in the open, or not at all."""
    shape = shape_of(kind)
    names = {each.name for each in fields(kind)}
    assert names == {"time", "tenant", "subject"} | shape.open.keys() | shape.sealed.keys()


@pytest.mark.parametrize(
    ("event", "place"),
    [
        (replace(EVENT, approver=ERASED), "approver"),
        (replace(EVENT, approver=None), "approver"),  # type: ignore[arg-type]
        (replace(EVENT, statement=1), "statement"),  # type: ignore[arg-type]
        (replace(EVENT, subject="vrd_1"), "subject"),
        (replace(EVENT, subject="req_"), "subject"),
        (
            BundleActivated(
                time=1, tenant="default", subject="bundles_x", bundle="b", former=None, by="ops"
            ),
            "subject",
        ),
    ],
)
def test_an_event_that_is_not_whole_or_about_something_else_is_not_sealed(
    event: Event, place: str
) -> None:
    with pytest.raises(ProofError) as refusal:
        leaves.seal(event, link=LINK, salt=SALT)
    assert (refusal.value.code, refusal.value.place) == ("event", place)


@pytest.mark.parametrize(
    ("public", "secret", "named"),
    [
        ({"approver": "ada"}, {}, "approver"),
        ({"": "x"}, {}, ""),
        ({"statement": 1}, {}, "statement"),
        ({"request_digest": None}, {}, "request_digest"),
        ({}, {"more": 1}, "more"),
        ({}, {"approver": None}, "approver"),
        ({}, {"approver": True}, "approver"),
        ({}, {"statement": "x"}, "statement"),
    ],
)
def test_other_members_make_no_event(
    public: dict[str, Any], secret: dict[str, Any], named: str
) -> None:
    def made(public: dict[str, Any], secret: dict[str, Any]) -> Event:
        return event_of(
            EVENT.TYPE,
            time=EVENT.time,
            tenant="default",
            subject="req_1",
            open_members={**EVENT.open_members(), **public},
            sealed_members={**EVENT.sealed_members(), **secret},
        )

    assert made({}, {}) == EVENT
    with pytest.raises(ValueError, match=f"^{named}$"):
        made(public, secret)


def test_a_value_that_its_type_does_not_have_is_not_read_from_an_opening() -> None:
    with pytest.raises(ProofError) as refusal:
        leaves.with_values(LEAF.event, {"approver": 7})
    assert (refusal.value.code, refusal.value.place) == ("event", "approver")


def test_a_salt_is_long_enough_and_a_leaf_is_not_too_long() -> None:
    with pytest.raises(ProofError):
        leaves.seal(EVENT, link=LINK, salt=bytes(15))
    long = replace(EVENT, statement="x" * leaves.MAX_LEAF)
    with pytest.raises(ProofError) as refusal:
        leaves.seal(long, link=LINK, salt=SALT)
    assert refusal.value.code == "event"


def test_what_is_not_json_is_not_sealed() -> None:
    for reason in ("\ud800", "x" * 100 + "\udfff"):
        with pytest.raises(AdmissionError):
            leaves.seal(replace(EVENT, reason=reason), link=LINK, salt=SALT)
