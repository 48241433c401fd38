"""The leaves of the log: events in their canonical form, with commitments to what is sealed.

Everybody can read the log, so a leaf tells in the open only what kind of event it is, when it
happened, which subject it is about and where it stands among that subject's events. The other open
members are random ids and digests over fresh random bytes. Each sealed member is a salted
commitment.

What holds:
1. The class of an event says which members are open and which are sealed. No leaf with other
   members is read, so a new member is looked at before it can be published.
2. Whoever holds the opening can show what was committed to. Once the opening is erased nobody can,
   not even by guessing, and the log still verifies. Each value has a salt of its own, derived from
   the event's, so that one value can be shown without the others.
3. The events of one subject are numbered from 0, and each names the leaf hash of the one before.
   Whoever holds some of them can see that one is missing.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Final, cast

from approvals.core import b64, canonical
from approvals.core.documents import is_digest
from approvals.core.errors import AdmissionError, ProofError
from approvals.core.history.events import event_of, is_about, shape_of
from approvals.core.merkle import leaf_hash

if TYPE_CHECKING:
    from collections.abc import Mapping

    from approvals.core.canonical import Json
    from approvals.core.history.events import Event

TYP: Final = "assent/event/2"
MAX_LEAF: Final = 65_535
"""What an entry bundle of C2SP tlog-tiles can hold."""

_COMMITMENT: Final = b"assent/commitment/1\x00"
_SALT_BYTES: Final = 16
_OWN_MEMBERS: Final = frozenset(
    {"typ", "type", "time", "tenant", "subject", "seq", "previous", "sealed"}
)
_OPENING_MEMBERS: Final = frozenset({"salt", "value"})


@dataclass(frozen=True, slots=True)
class Link:
    """An event's place among its subject's events: its number, and the leaf hash before it."""

    seq: int
    previous: bytes | None


FIRST: Final = Link(0, None)
"""The place of a subject's first event."""


@dataclass(frozen=True, slots=True)
class SealedEvent:
    """A leaf for the log, for ever, and what opens its commitments, while it may be kept."""

    leaf: bytes
    opening: dict[str, Json]


@dataclass(frozen=True, slots=True)
class LeafEvent:
    """An event as a leaf tells it, its place, and the commitment to each of its sealed members.

    Those members are `ERASED` in the event until they are opened.
    """

    event: Event
    link: Link
    sealed: Mapping[str, str]


def seal(event: Event, *, link: Link, salt: bytes) -> SealedEvent:
    """Make the leaf and the opening of an event; `salt` is fresh random bytes, at least 16.

    Raises:
        ProofError: code event; the event is about another kind of subject, a sealed member is
            erased, a member is of a type that nobody reads there, or it cannot be a leaf.
        AdmissionError: a value in it is not JSON.
    """
    if len(salt) < _SALT_BYTES:
        raise ProofError(f"a salt is at least {_SALT_BYTES} bytes", code="event")
    wrong = [*event.erased()] if is_about(event) else ["subject"]
    if wrong:
        raise ProofError(f"not as {event.TYPE} has it", code="event", place=wrong[0])
    values = event.sealed_members()
    with_values(event, values)  # what could not be read again is not written
    opening: dict[str, Json] = {}
    sealed: dict[str, Json] = {}
    for name, value in values.items():
        own_salt = hmac.digest(salt, name.encode("utf-8"), "sha256")
        opening[name] = {"salt": b64.encode(own_salt), "value": value}
        sealed[name] = _commitment(name, own_salt, value)
    leaf = canonical.encode(
        {
            **event.open_members(),
            "typ": TYP,
            "type": event.TYPE,
            "time": event.time,
            "tenant": event.tenant,
            "subject": event.subject,
            "seq": link.seq,
            "previous": None if link.previous is None else b64.encode(link.previous),
            "sealed": sealed,
        }
    )
    if len(leaf) > MAX_LEAF:
        raise ProofError(f"a leaf is at most {MAX_LEAF} bytes", code="event")
    return SealedEvent(leaf, opening)


def parse_leaf(leaf: bytes) -> LeafEvent:
    """Read a leaf, which must be the canonical form of an event of a known shape.

    Raises:
        ProofError: code event; it is something else.
    """
    try:
        members = canonical.parse_object(leaf, max_bytes=MAX_LEAF)
        written = canonical.encode(members)
    except AdmissionError as error:
        raise ProofError(
            f"a leaf is JSON: {error.message}", code="event", place=error.place
        ) from error
    if written != leaf:
        raise ProofError("a leaf is in canonical form", code="event")
    match members:
        case {
            "type": str(kind),
            "time": int(time),
            "tenant": str(tenant),
            "subject": str(subject),
            "seq": int(seq),
            "previous": str() | None as previous,
            "sealed": dict(sealed),
        } if members.get("typ") == TYP and type(time) is int and type(seq) is int:
            open_members = {name: v for name, v in members.items() if name not in _OWN_MEMBERS}
            link = _link(seq, previous)
            event = _event(kind, time, tenant, subject, open_members)
            if link is not None and event is not None and _commits(event, sealed):
                return LeafEvent(event, link, cast("dict[str, str]", sealed))
        case _:
            pass
    raise ProofError("the leaf is not an event that is known here", code="event")


def _event(
    kind: str, time: int, tenant: str, subject: str, members: Mapping[str, Json]
) -> Event | None:
    try:
        event = event_of(
            kind,
            time=time,
            tenant=tenant,
            subject=subject,
            open_members=members,
            sealed_members={},
        )
    except ValueError:
        return None
    return event if is_about(event) else None


def with_values(event: Event, values: Mapping[str, Json]) -> Event:
    """The event with sealed members of these values, which are not verified here.

    Raises:
        ProofError: code event; the place is the member that its type does not have so.
    """
    try:
        return event_of(
            event.TYPE,
            time=event.time,
            tenant=event.tenant,
            subject=event.subject,
            open_members=event.open_members(),
            sealed_members=values,
        )
    except ValueError as error:
        raise ProofError(f"not as {event.TYPE} has it", code="event", place=str(error)) from error


def _commits(event: Event, sealed: Mapping[str, Json]) -> bool:
    """Whether there is a commitment to each sealed member, and to nothing else."""
    return sealed.keys() == shape_of(type(event)).sealed.keys() and all(
        isinstance(text, str) and is_digest(text) for text in sealed.values()
    )


def _link(seq: int, previous: str | None) -> Link | None:
    """The place that a leaf says it has; None where no event can have it."""
    if seq == 0 or previous is None:
        return FIRST if (seq, previous) == (0, None) else None
    try:
        before = b64.decode(previous)
    except ValueError:
        return None
    return Link(seq, before) if seq > 0 and len(before) == sha256().digest_size else None


@dataclass(slots=True)
class Chain:
    """How far the events of one subject go: how many there are, and the last one's leaf hash."""

    count: int = 0
    head: bytes | None = None

    def next(self) -> Link:
        """The place of the event that comes next."""
        return Link(self.count, self.head)

    def add(self, leaf: bytes) -> None:
        """This leaf took that place."""
        self.count, self.head = self.count + 1, leaf_hash(leaf)


def verify_opening(leaf: LeafEvent, opening: Mapping[str, Json]) -> Event:
    """The event with the values that its leaf committed to, as far as they are opened.

    Raises:
        ProofError: code opening, with the name of the value that is not the one committed to; or
            code event, if its type does not have it so.
    """
    return with_values(leaf.event, _verified(leaf.sealed, opening))


def _verified(sealed: Mapping[str, str], opening: Mapping[str, Json]) -> dict[str, Json]:
    values: dict[str, Json] = {}
    for name, opened in opening.items():
        if not isinstance(opened, dict) or opened.keys() != _OPENING_MEMBERS:
            raise ProofError("an opening is a salt and a value", code="opening", place=name)
        if not hmac.compare_digest(_reopened(name, opened), sealed.get(name, "").encode("utf-8")):
            raise ProofError(
                "this is not the value that the log committed to", code="opening", place=name
            )
        values[name] = opened["value"]
    return values


def _reopened(name: str, opened: dict[str, Json]) -> bytes:
    salt = opened["salt"]
    try:
        own_salt = b64.decode(salt) if isinstance(salt, str) else b""
        commitment = _commitment(name, own_salt, opened["value"])
    except (ValueError, AdmissionError) as error:
        raise ProofError("the opening cannot be read", code="opening", place=name) from error
    if len(own_salt) != sha256().digest_size:
        # Bytes could move between salt and value.
        raise ProofError("a salt has 32 bytes", code="opening", place=name)
    return commitment.encode("ascii")


def _commitment(name: str, own_salt: bytes, value: Json) -> str:
    preimage = name.encode("utf-8") + b"\x00" + own_salt + canonical.encode(value)
    return b64.encode(sha256(_COMMITMENT + preimage).digest())
