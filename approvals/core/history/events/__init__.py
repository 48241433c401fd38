"""The events: one class for each thing that the log can tell.

A member is open or sealed. The log is public, so an open member is a random id, or a digest over
fresh random bytes. Everything else is sealed: who, which call, which rules, which result.
docs/protocol.md gives the reason for each open member.

Whoever writes an event, explains it, or rebuilds a row from it uses its class.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from approvals.core.history.events.calls import (
    ApprovalConsumed,
    ApprovalLapsed,
    ApprovalRefused,
    CallAllowed,
    CallRefused,
    OfApproval,
    OfCall,
    OfRequest,
    OutcomeReported,
    RequestApproved,
    RequestCancelled,
    RequestDenied,
    RequestEscalated,
    RequestExpired,
    RequestOpened,
    RequestReminded,
    RequestRepeated,
    RequestRevoked,
    VoteApprove,
    Voted,
    VoteDeny,
)
from approvals.core.history.events.people import (
    AccountLinked,
    AccountUnlinked,
    CodeGiven,
    InvitationEnded,
    NoticeGivenUp,
    OfAccount,
    OfPerson,
    PasskeyEnrolled,
    PasskeyRevoked,
    PasskeyUsed,
    PersonInvited,
    SessionEnded,
    SessionStarted,
)
from approvals.core.history.events.service import (
    BundleActivated,
    ClockRepaired,
    KeyIntroduced,
    KeyRetired,
    LogClosed,
    LogReopened,
    LogRestored,
    OfService,
    ServiceMoved,
)
from approvals.core.history.events.shape import (
    BUNDLES,
    ERASED,
    KEY,
    NOTICE,
    PERSON,
    SERVICE,
    SESSION,
    USE,
    Erased,
    Event,
    is_about,
    shape_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from approvals.core.canonical import Json

__all__ = [
    "BUNDLES",
    "ERASED",
    "EVENTS",
    "KEY",
    "NOTICE",
    "PERSON",
    "SERVICE",
    "SESSION",
    "USE",
    "AccountLinked",
    "AccountUnlinked",
    "ApprovalConsumed",
    "ApprovalLapsed",
    "ApprovalRefused",
    "BundleActivated",
    "CallAllowed",
    "CallRefused",
    "ClockRepaired",
    "CodeGiven",
    "Erased",
    "Event",
    "InvitationEnded",
    "KeyIntroduced",
    "KeyRetired",
    "LogClosed",
    "LogReopened",
    "LogRestored",
    "NoticeGivenUp",
    "OfAccount",
    "OfApproval",
    "OfCall",
    "OfPerson",
    "OfRequest",
    "OfService",
    "OutcomeReported",
    "PasskeyEnrolled",
    "PasskeyRevoked",
    "PasskeyUsed",
    "PersonInvited",
    "RequestApproved",
    "RequestCancelled",
    "RequestDenied",
    "RequestEscalated",
    "RequestExpired",
    "RequestOpened",
    "RequestReminded",
    "RequestRepeated",
    "RequestRevoked",
    "ServiceMoved",
    "SessionEnded",
    "SessionStarted",
    "VoteApprove",
    "VoteDeny",
    "Voted",
    "event_of",
    "is_about",
    "shape_of",
]

EVENTS: Final[Mapping[str, type[Event]]] = {
    kind.TYPE: kind
    for kind in (
        CallAllowed,
        CallRefused,
        RequestOpened,
        RequestRepeated,
        VoteApprove,
        VoteDeny,
        RequestApproved,
        RequestDenied,
        RequestExpired,
        RequestCancelled,
        RequestRevoked,
        RequestEscalated,
        RequestReminded,
        ApprovalConsumed,
        ApprovalRefused,
        ApprovalLapsed,
        OutcomeReported,
        BundleActivated,
        PersonInvited,
        InvitationEnded,
        PasskeyEnrolled,
        PasskeyRevoked,
        PasskeyUsed,
        SessionStarted,
        SessionEnded,
        CodeGiven,
        AccountLinked,
        AccountUnlinked,
        NoticeGivenUp,
        KeyIntroduced,
        KeyRetired,
        LogClosed,
        LogReopened,
        LogRestored,
        ServiceMoved,
        ClockRepaired,
    )
}
"""Every type that is logged, by its name in a leaf."""


def event_of(
    kind: str,
    *,
    time: int,
    tenant: str,
    subject: str,
    open_members: Mapping[str, Json],
    sealed_members: Mapping[str, Json],
) -> Event:
    """The event of a type with these members; sealed ones that are missing are `ERASED`.

    Raises:
        ValueError: it has not the shape of its type; the text is the name of what is wrong.
    """
    cls = EVENTS.get(kind)
    if cls is None:
        raise ValueError("type")
    shape = shape_of(cls)
    wrong = (shape.open.keys() ^ open_members.keys()) | (
        sealed_members.keys() - shape.sealed.keys()
    )
    if wrong:
        raise ValueError(min(wrong))
    members: dict[str, object] = dict.fromkeys(shape.sealed, ERASED)
    for types, values in ((shape.open, open_members), (shape.sealed, sealed_members)):
        for name, value in values.items():
            members[name] = _member(name, value, types[name])
    return cls(time=time, tenant=tenant, subject=subject, **members)


def _member(name: str, value: Json, types: frozenset[type]) -> object:
    if type(value) not in types:
        raise ValueError(name)
    if isinstance(value, list):
        if not all(type(item) is str for item in value):
            raise ValueError(name)
        return tuple(value)
    return value
