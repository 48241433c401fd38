"""Events, and the leaves of the log that they become.

A leaf is the canonical form of an event: what happened, when, in which tenant, with ids and digests
in the open, and a salted commitment to each thing that is personal. Whoever holds the opening can
show what was committed to; once the opening is erased nobody can, not even by guessing, and the log
still verifies. Each value has a salt of its own, derived from the event's, so that one value can be
shown without the others.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from approvals.core import b64, canonical
from approvals.core.errors import AdmissionError, ProofError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from approvals.core.canonical import Json

TYP: Final = "assent/event/1"
MAX_LEAF: Final = 65_535
"""What an entry bundle of C2SP tlog-tiles can hold."""

_COMMITMENT: Final = b"assent/commitment/1\x00"
_SALT_BYTES: Final = 16
_OWN_MEMBERS: Final = frozenset({"typ", "type", "time", "tenant", "sealed"})
_OPENING_MEMBERS: Final = frozenset({"salt", "value"})


class EventType(StrEnum):
    """Everything that the log can tell."""

    CALL_ALLOWED = "call.allowed"
    CALL_REFUSED = "call.refused"
    REQUEST_OPENED = "request.opened"
    REQUEST_REPEATED = "request.repeated"
    VOTE_APPROVE = "vote.approve"
    VOTE_DENY = "vote.deny"
    REQUEST_APPROVED = "request.approved"
    REQUEST_DENIED = "request.denied"
    REQUEST_EXPIRED = "request.expired"
    REQUEST_CANCELLED = "request.cancelled"
    REQUEST_REVOKED = "request.revoked"
    REQUEST_ESCALATED = "request.escalated"
    REQUEST_REMINDED = "request.reminded"
    APPROVAL_ISSUED = "approval.issued"
    APPROVAL_CONSUMED = "approval.consumed"
    APPROVAL_REFUSED = "approval.refused"
    APPROVAL_LAPSED = "approval.lapsed"
    OUTCOME_REPORTED = "outcome.reported"
    BUNDLE_ACTIVATED = "bundle.activated"
    PERSON_INVITED = "person.invited"
    PASSKEY_ENROLLED = "passkey.enrolled"
    PASSKEY_REVOKED = "passkey.revoked"
    SESSION_STARTED = "session.started"
    ACCOUNT_LINKED = "account.linked"
    ACCOUNT_UNLINKED = "account.unlinked"
    NOTICE_GIVEN_UP = "notice.given_up"
    KEY_INTRODUCED = "key.introduced"
    KEY_RETIRED = "key.retired"
    LOG_CLOSED = "log.closed"
    LOG_REOPENED = "log.reopened"
    LOG_RESTORED = "log.restored"
    SERVICE_MOVED = "service.moved"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened, at `time` in Unix seconds; `personal` is committed to, not told."""

    type: EventType
    time: int
    tenant: str
    public: Mapping[str, Json]
    personal: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Sealed:
    """A leaf for the log, for ever, and what opens its commitments, while it may be kept."""

    leaf: bytes
    opening: dict[str, Json]


@dataclass(frozen=True, slots=True)
class LeafEvent:
    """An event as the log tells it; `sealed` gives the commitment to each personal value."""

    type: EventType
    time: int
    tenant: str
    public: dict[str, Json]
    sealed: dict[str, str]


def seal(event: Event, *, salt: bytes) -> Sealed:
    """Make the leaf and the opening of an event; `salt` is fresh random bytes, at least 16.

    Raises:
        ProofError: code event; the event cannot be told as a leaf.
        AdmissionError: a value in it is not JSON.
    """
    if len(salt) < _SALT_BYTES:
        raise ProofError(f"a salt is at least {_SALT_BYTES} bytes", code="event")
    if taken := sorted(_OWN_MEMBERS & event.public.keys()):
        raise ProofError(f"the name {taken[0]!r} is the leaf's own", code="event", place=taken[0])
    opening: dict[str, Json] = {}
    sealed: dict[str, Json] = {}
    for name, value in event.personal.items():
        own_salt = hmac.digest(salt, name.encode("utf-8"), "sha256")
        opening[name] = {"salt": b64.encode(own_salt), "value": value}
        sealed[name] = _commitment(name, own_salt, value)
    leaf = canonical.encode(
        {
            **event.public,
            "typ": TYP,
            "type": str(event.type.value),
            "time": event.time,
            "tenant": event.tenant,
            "sealed": sealed,
        }
    )
    if len(leaf) > MAX_LEAF:
        raise ProofError(f"a leaf is at most {MAX_LEAF} bytes", code="event")
    return Sealed(leaf, opening)


def parse_leaf(leaf: bytes) -> LeafEvent:
    """Read a leaf, which must be the canonical form of an event.

    Raises:
        ProofError: code event; it is something else.
    """
    try:
        members = canonical.parse_object(leaf, max_bytes=MAX_LEAF)
        written = canonical.encode(members)
    except AdmissionError as error:
        raise ProofError(f"a leaf is JSON: {error}", code="event", place=error.place) from error
    if written != leaf:
        raise ProofError("a leaf is in canonical form", code="event")
    match members:
        case {
            "typ": "assent/event/1",
            "type": str(kind),
            "time": int(time),
            "tenant": str(tenant),
            "sealed": dict(sealed),
        } if type(time) is int and kind in _KINDS:
            public = {name: v for name, v in members.items() if name not in _OWN_MEMBERS}
            commitments = {name: text for name, text in sealed.items() if isinstance(text, str)}
            if len(commitments) == len(sealed):
                return LeafEvent(EventType(kind), time, tenant, public, commitments)
        case _:
            pass
    raise ProofError("the leaf is not an event that is known here", code="event")


def verify_opening(leaf: bytes, opening: Mapping[str, Json]) -> dict[str, Json]:
    """The values that the leaf committed to, as far as they are opened.

    Raises:
        ProofError: code opening, with the name of the value that is not the one committed to.
    """
    sealed = parse_leaf(leaf).sealed
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
    # A salt of another length would let bytes move between salt and value.
    return commitment.encode("ascii") if len(own_salt) == sha256().digest_size else b""


def _commitment(name: str, own_salt: bytes, value: Json) -> str:
    preimage = name.encode("utf-8") + b"\x00" + own_salt + canonical.encode(value)
    return b64.encode(sha256(_COMMITMENT + preimage).digest())


_KINDS: Final = frozenset(kind.value for kind in EventType)
