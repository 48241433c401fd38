"""What happens to the access of people, and to what they are told."""

from __future__ import annotations

from dataclasses import dataclass

from approvals.core.history.events.shape import (
    NOTICE,
    PERSON,
    SESSION,
    USE,
    Event,
    Sealed,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OfPerson(Event):
    """Something that happened to a person's access."""

    ABOUT = (PERSON,)
    person: Sealed[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonInvited(OfPerson):
    """An invitation to enrol a passkey was made, which `replaces` the others or adds one."""

    TYPE = "person.invited"
    replaces: Sealed[bool]
    invitation: Sealed[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class InvitationEnded(OfPerson):
    """An invitation ended before anybody used it."""

    TYPE = "invitation.ended"
    invitation: Sealed[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PasskeyEnrolled(OfPerson):
    """A passkey was enrolled, with an invitation and by answering a challenge (`ceremony`)."""

    TYPE = "passkey.enrolled"
    credential: Sealed[str]
    public_key: Sealed[str]
    backup_eligible: Sealed[bool]
    aaguid: Sealed[str]
    step_up: Sealed[str]
    attestation: Sealed[str | None]
    not_hardware: Sealed[str | None]
    invitation: Sealed[str | None]
    ceremony: Sealed[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PasskeyRevoked(OfPerson):
    """A passkey ended."""

    TYPE = "passkey.revoked"
    credential: Sealed[str]
    reason: Sealed[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PasskeyUsed(OfPerson):
    """A passkey answered a challenge. `unseen` is how many of its signatures never came here."""

    TYPE = "passkey.used"
    ABOUT = (USE,)
    credential: Sealed[str]
    purpose: Sealed[str]
    sign_count: Sealed[int]
    unseen: Sealed[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStarted(OfPerson):
    """A browser was signed in."""

    TYPE = "session.started"
    ABOUT = (SESSION,)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEnded(OfPerson):
    """A browser was signed out."""

    TYPE = "session.ended"
    ABOUT = (SESSION,)


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeGiven(OfPerson):
    """Somebody was given a code that links a chat account; those before it end."""

    TYPE = "code.given"
    channel: Sealed[str]
    code: Sealed[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class OfAccount(OfPerson):
    """Something that happened to the link between a person and a chat account."""

    channel: Sealed[str]
    team: Sealed[str]
    account: Sealed[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountLinked(OfAccount):
    """A chat account is a person's from now on, by a code."""

    TYPE = "account.linked"
    code: Sealed[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountUnlinked(OfAccount):
    """A chat account is not a person's any more."""

    TYPE = "account.unlinked"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeGivenUp(OfPerson):
    """A notice could not be delivered."""

    TYPE = "notice.given_up"
    ABOUT = (NOTICE,)
    channel: Sealed[str]
    kind: Sealed[str]
    error: Sealed[str]
