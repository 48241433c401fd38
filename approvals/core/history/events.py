"""Events, and the leaves of the log that they become.

A leaf is the canonical form of an event. Everybody can read the log, so a leaf tells in the open
only what kind of event it is, when it happened, which subject it is about and where it stands among
that subject's events. The other open members are random ids and digests over fresh random bytes.
Everything else is a salted commitment: who, which call, which rules, which result.

What holds:
1. `SHAPES` says for each type which members are open and which are sealed. No event with other
   members is sealed or read, so a new member is looked at before it can be published.
2. Whoever holds the opening can show what was committed to. Once the opening is erased nobody can,
   not even by guessing, and the log still verifies. Each value has a salt of its own, derived from
   the event's, so that one value can be shown without the others.
3. The events of one subject are numbered from 0, and each names the leaf hash of the one before.
   Whoever holds some of them can see that one is missing.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from approvals.core import b64, canonical
from approvals.core.errors import AdmissionError, ProofError
from approvals.core.merkle import leaf_hash

if TYPE_CHECKING:
    from collections.abc import Mapping

    from approvals.core.canonical import Json

TYP: Final = "assent/event/2"
MAX_LEAF: Final = 65_535
"""What an entry bundle of C2SP tlog-tiles can hold."""

_COMMITMENT: Final = b"assent/commitment/1\x00"
_SALT_BYTES: Final = 16
_OWN_MEMBERS: Final = frozenset(
    {"typ", "type", "time", "tenant", "subject", "seq", "previous", "sealed"}
)
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
    INVITATION_ENDED = "invitation.ended"
    PASSKEY_ENROLLED = "passkey.enrolled"
    PASSKEY_REVOKED = "passkey.revoked"
    PASSKEY_USED = "passkey.used"
    SESSION_STARTED = "session.started"
    SESSION_ENDED = "session.ended"
    CODE_GIVEN = "code.given"
    ACCOUNT_LINKED = "account.linked"
    ACCOUNT_UNLINKED = "account.unlinked"
    NOTICE_GIVEN_UP = "notice.given_up"
    KEY_INTRODUCED = "key.introduced"
    KEY_RETIRED = "key.retired"
    LOG_CLOSED = "log.closed"
    LOG_REOPENED = "log.reopened"
    LOG_RESTORED = "log.restored"
    SERVICE_MOVED = "service.moved"
    CLOCK_REPAIRED = "clock.repaired"


@dataclass(frozen=True, slots=True)
class Shape:
    """What an event of one type looks like: its kinds of subject and the names of its members."""

    subjects: tuple[str, ...]
    open: frozenset[str]
    sealed: frozenset[str]


BUNDLES: Final = "bundles"
"""The subject of a tenant's activations: one chain, so that none can be left out."""
SERVICE: Final = "service"
"""The subject of what happens to the service itself and to its log."""
ASKED: Final = ("req_",)
OCCASIONS: Final = ("req_", "vrd_")
PERSON: Final = "psn_"
SESSION: Final = "ses_"
USE: Final = "cer_"
"""One use of a passkey, by its challenge: a subject of its own, so that nobody can count them."""
NOTICE: Final = "ntc_"
KEY: Final = "key_"


def _shape(subjects: str | tuple[str, ...], open_: str = "", sealed: str = "") -> Shape:
    kinds = (subjects,) if isinstance(subjects, str) else subjects
    return Shape(kinds, frozenset(open_.split()), frozenset(sealed.split()))


_CALL: Final = (
    "enforcer agent user task target tool call_hash bundle rules record model prompt_hash "
    "context_refs idempotency answer"
)
_VOTE: Final = _shape(ASKED, "request_digest statement evidence", "approver reason step_up channel")
_END: Final = _shape(ASKED, "request_digest")
_ACCOUNT: Final = "person channel team account"

SHAPES: Final[Mapping[EventType, Shape]] = {
    EventType.CALL_ALLOWED: _shape("vrd_", "verdict approval token", _CALL),
    EventType.CALL_REFUSED: _shape("vrd_", "verdict", f"{_CALL} code"),
    EventType.REQUEST_OPENED: _shape(ASKED, "verdict request_digest", f"{_CALL} explanation"),
    EventType.REQUEST_REPEATED: _shape(ASKED, "verdict request_digest", _CALL),
    EventType.VOTE_APPROVE: _VOTE,
    EventType.VOTE_DENY: _VOTE,
    EventType.REQUEST_APPROVED: _shape(ASKED, "request_digest approval token"),
    EventType.REQUEST_DENIED: _END,
    EventType.REQUEST_EXPIRED: _END,
    EventType.REQUEST_CANCELLED: _END,
    EventType.REQUEST_REVOKED: _END,
    EventType.REQUEST_ESCALATED: _shape(ASKED, "request_digest", "rule name people"),
    EventType.REQUEST_REMINDED: _shape(ASKED, "request_digest", "people"),
    EventType.APPROVAL_CONSUMED: _shape(OCCASIONS, "approval receipt", "use_id"),
    EventType.APPROVAL_REFUSED: _shape(OCCASIONS, "approval", "code"),
    EventType.APPROVAL_LAPSED: _shape(OCCASIONS, "approval"),
    EventType.OUTCOME_REPORTED: _shape(OCCASIONS, "approval", "status output_hash"),
    EventType.BUNDLE_ACTIVATED: _shape(BUNDLES, "", "bundle former by"),
    EventType.PERSON_INVITED: _shape(PERSON, "", "person replaces invitation"),
    EventType.PASSKEY_ENROLLED: _shape(
        PERSON,
        "",
        "person credential public_key backup_eligible aaguid step_up attestation not_hardware "
        "invitation ceremony",
    ),
    EventType.PASSKEY_USED: _shape(USE, "", "person credential purpose sign_count unseen"),
    EventType.PASSKEY_REVOKED: _shape(PERSON, "", "person credential reason"),
    EventType.SESSION_STARTED: _shape(SESSION, "", "person"),
    EventType.SESSION_ENDED: _shape(SESSION, "", "person"),
    EventType.CODE_GIVEN: _shape(PERSON, "", "person channel code"),
    EventType.ACCOUNT_LINKED: _shape(PERSON, "", f"{_ACCOUNT} code"),
    EventType.ACCOUNT_UNLINKED: _shape(PERSON, "", _ACCOUNT),
    EventType.NOTICE_GIVEN_UP: _shape(NOTICE, "", "person channel kind error"),
    EventType.KEY_INTRODUCED: _shape(KEY, "kid alg activates"),
    EventType.KEY_RETIRED: _shape(KEY, "kid retires"),
    EventType.LOG_CLOSED: _shape(SERVICE, "code"),
    EventType.LOG_REOPENED: _shape(SERVICE, "code", "reason"),
    EventType.LOG_RESTORED: _shape(SERVICE, "size root signed", "reason"),
    EventType.SERVICE_MOVED: _shape(SERVICE, "from to"),
    EventType.CLOCK_REPAIRED: _shape(SERVICE, "recorded", "reason"),
    EventType.INVITATION_ENDED: _shape(PERSON, "", "person invitation"),
}
"""Every type that is logged. docs/protocol.md gives the reason for each open member."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to `subject`, at `time` in Unix seconds.

    `public` is told to everybody; `secret` is committed to.
    """

    type: EventType
    time: int
    tenant: str
    subject: str
    public: Mapping[str, Json]
    secret: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Link:
    """An event's place among its subject's events: its number, and the leaf hash before it."""

    seq: int
    previous: bytes | None


FIRST: Final = Link(0, None)
"""The place of a subject's first event."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """A leaf for the log, for ever, and what opens its commitments, while it may be kept."""

    leaf: bytes
    opening: dict[str, Json]


@dataclass(frozen=True, slots=True)
class LeafEvent:
    """An event as the log tells it; `sealed` gives the commitment to each secret value."""

    type: EventType
    time: int
    tenant: str
    subject: str
    link: Link
    public: dict[str, Json]
    sealed: dict[str, str]


def seal(event: Event, *, link: Link, salt: bytes) -> Sealed:
    """Make the leaf and the opening of an event; `salt` is fresh random bytes, at least 16.

    Raises:
        ProofError: code event; the event has not the shape of its type, or cannot be a leaf.
        AdmissionError: a value in it is not JSON.
    """
    if len(salt) < _SALT_BYTES:
        raise ProofError(f"a salt is at least {_SALT_BYTES} bytes", code="event")
    wrong = _unlike_its_type(event.type, event.subject, event.public, event.secret)
    if wrong is not None:
        raise ProofError(f"not as {event.type.value} has it", code="event", place=wrong)
    opening: dict[str, Json] = {}
    sealed: dict[str, Json] = {}
    for name, value in event.secret.items():
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
            "subject": event.subject,
            "seq": link.seq,
            "previous": None if link.previous is None else b64.encode(link.previous),
            "sealed": sealed,
        }
    )
    if len(leaf) > MAX_LEAF:
        raise ProofError(f"a leaf is at most {MAX_LEAF} bytes", code="event")
    return Sealed(leaf, opening)


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
            "typ": "assent/event/2",
            "type": str(kind),
            "time": int(time),
            "tenant": str(tenant),
            "subject": str(subject),
            "seq": int(seq),
            "previous": str() | None as previous,
            "sealed": dict(sealed),
        } if type(time) is int and type(seq) is int and kind in _KINDS:
            public = {name: v for name, v in members.items() if name not in _OWN_MEMBERS}
            commitments = {name: text for name, text in sealed.items() if isinstance(text, str)}
            link = _link(seq, previous)
            if (
                link is not None
                and len(commitments) == len(sealed)
                and _unlike_its_type(EventType(kind), subject, public, commitments) is None
            ):
                return LeafEvent(EventType(kind), time, tenant, subject, link, public, commitments)
        case _:
            pass
    raise ProofError("the leaf is not an event that is known here", code="event")


def _link(seq: int, previous: str | None) -> Link | None:
    """The place that a leaf says it has; None where no event can have it."""
    if seq == 0 or previous is None:
        return FIRST if (seq, previous) == (0, None) else None
    try:
        before = b64.decode(previous)
    except ValueError:
        return None
    return Link(seq, before) if seq > 0 and len(before) == sha256().digest_size else None


def _unlike_its_type(
    kind: EventType, subject: str, public: Mapping[str, object], secret: Mapping[str, object]
) -> str | None:
    """What of an event is not as `SHAPES` has it; None if all is."""
    shape = SHAPES.get(kind)
    if shape is None:
        return "type"
    if not any(_is_of(subject, each) for each in shape.subjects):
        return "subject"
    wrong = (shape.open ^ public.keys()) | (shape.sealed ^ secret.keys())
    return min(wrong, default=None)


def _is_of(subject: str, kind: str) -> bool:
    """Whether a subject is this one, or of this kind where `kind` is the beginning of an id."""
    if kind.endswith("_"):
        return subject.startswith(kind) and subject != kind
    return subject == kind


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


def verify_opening(leaf: bytes, opening: Mapping[str, Json]) -> dict[str, Json]:
    """The values that the leaf committed to, as far as they are opened.

    Raises:
        ProofError: code opening, with the name of the value that is not the one committed to.
    """
    return verify_opened(parse_leaf(leaf).sealed, opening)


def verify_opened(sealed: Mapping[str, str], opening: Mapping[str, Json]) -> dict[str, Json]:
    """As `verify_opening`, of a leaf that was read: `sealed` are its commitments."""
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
