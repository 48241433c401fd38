"""Computes from the events of a subject the rows that the database must hold.

Each expected row has its primary key, and the columns that an event commits to. A value whose
opening was erased is unknown (`UNTOLD`) and is not compared. No event commits to these columns,
which only their seal protects: when a challenge or an invitation expires, a passkey's transports
and backup state, and when a person first opened a request.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from approvals.core.approval import REQUEST, VERDICT
from approvals.core.decision.occasion import Purpose
from approvals.core.history.events import (
    BUNDLES,
    PERSON,
    AccountLinked,
    AccountUnlinked,
    ApprovalConsumed,
    BundleActivated,
    CallAllowed,
    CallRefused,
    Erased,
    Event,
    InvitationEnded,
    OfAccount,
    OfCall,
    OutcomeReported,
    PasskeyEnrolled,
    PasskeyRevoked,
    PasskeyUsed,
    PersonInvited,
    RequestApproved,
    RequestCancelled,
    RequestDenied,
    RequestExpired,
    RequestOpened,
    RequestRepeated,
    RequestRevoked,
    VoteApprove,
    Voted,
)
from approvals.core.history.rebuild import Use
from approvals.core.requests import State
from approvals.flow.auditing.compare import UNTOLD, Columns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from approvals.core.history.rebuild import Became, Followed
    from approvals.store.records import Key


_OUTCOMES: Final[Mapping[type[Event], str]] = {
    CallAllowed: "allow",
    CallRefused: "deny",
    RequestOpened: "escalate",
    RequestRepeated: "escalate",
}
_ENDS: Final = (RequestApproved, RequestDenied, RequestExpired, RequestCancelled, RequestRevoked)


@dataclass(frozen=True, slots=True)
class Uses:
    """What the uses of one passkey add up to."""

    uses: int = 0
    decisions: int = 0
    unseen: int = 0
    sign_count: int | None = None
    last_used: int | None = None

    def columns(self) -> Columns:
        """As its row has them; the counter of one that was never used is what it enrolled with."""
        columns: Columns = {
            "uses": self.uses,
            "decisions": self.decisions,
            "unseen": self.unseen,
            "last_used": self.last_used,
        }
        return columns if self.sign_count is None else {**columns, "sign_count": self.sign_count}


@dataclass(slots=True)
class Expected:
    """The rows that events tell of, by table and key; `nameless` are those whose key is erased."""

    rows: dict[str, dict[Key, Columns]] = field(default_factory=dict)
    nameless: Counter[str] = field(default_factory=Counter)

    def add(self, table: str, key: Key, columns: Columns) -> None:
        """One more row, which must be there."""
        if any(part is UNTOLD for part in key):
            self.nameless[table] += 1
        else:
            self.rows.setdefault(table, {})[key] = columns


def expect(
    expected: Expected,
    followed: Followed,
    events: Sequence[Event],
    *,
    uses: Mapping[object, Uses],
) -> None:
    """Add the rows that one subject's events tell of; there is at least one event.

    `events` are those of `followed`, with what is known of their sealed values.
    """
    tenant, subject = events[0].tenant, events[0].subject
    expected.add("chain", (tenant, subject), {"count": len(events), "head": followed.head})
    if subject.startswith((REQUEST, VERDICT)):
        _occasion(expected, subject, events, followed.became)
    elif subject.startswith(PERSON):
        _person(expected, events, uses)
    elif subject == BUNDLES:
        _bundles(expected, [event for event in events if isinstance(event, BundleActivated)])


def _occasion(
    expected: Expected, subject: str, events: Sequence[Event], became: Mapping[str, Became]
) -> None:
    votes = 0
    for event in events:
        if isinstance(event, OfCall):
            _verdict(expected, event)
        match event:
            case RequestOpened():
                _request(expected, event, events, became)
            case Voted():
                votes += 1
                _vote(expected, event, position=votes)
            case ApprovalConsumed():
                spend: Columns = {
                    "tenant": event.tenant,
                    "receipt": event.receipt,
                    "use_id": event.use_id,
                    "created": event.time,
                }
                expected.add("spend", (event.approval,), spend)
            case OutcomeReported():
                outcome: Columns = {
                    "tenant": event.tenant,
                    "status": event.status,
                    "output_hash": event.output_hash,
                    "created": event.time,
                }
                expected.add("outcome", (event.approval,), outcome)
            case _:
                pass
        if isinstance(event, CallAllowed | RequestApproved):
            approval: Columns = {
                "tenant": event.tenant,
                "txn": subject,
                "token": event.token,
                "state": "lapsed" if became[event.approval] is Use.LAPSED else "live",
                "created": event.time,
            }
            expected.add("approval", (event.approval,), approval)


def _vote(expected: Expected, event: Voted, *, position: int) -> None:
    columns: Columns = {
        "tenant": event.tenant,
        "position": position,
        "decision": "approve" if isinstance(event, VoteApprove) else "deny",
        "statement": event.statement,
        "evidence": event.evidence,
        "step_up": event.step_up,
        "channel": event.channel,
        "reason": event.reason,
        "created": event.time,
    }
    expected.add("vote", (event.subject, event.approver), columns)


def _verdict(expected: Expected, event: OfCall) -> None:
    columns: Columns = {
        "tenant": event.tenant,
        "enforcer": event.enforcer,
        "agent": event.agent,
        "person": event.user,
        "target": event.target,
        "tool": event.tool,
        "call_hash": event.call_hash,
        "bundle": event.bundle,
        "record": event.record,
        "answer": event.answer,
        "outcome": _OUTCOMES[type(event)],
        "created": event.time,
    }
    expected.add("verdict", (event.verdict,), columns)
    match event.idempotency:
        case Erased():
            expected.nameless["idempotency"] += 1
        case (key, digest):
            answered: Columns = {
                "body_digest": digest,
                "verdict": event.verdict,
                "created": event.time,
            }
            expected.add("idempotency", (event.tenant, event.enforcer, key), answered)
        case _:
            pass


def _request(
    expected: Expected,
    event: RequestOpened,
    events: Sequence[Event],
    became: Mapping[str, Became],
) -> None:
    state = became[event.subject]
    decided = [each.time for each in events if isinstance(each, _ENDS)]
    columns: Columns = {
        "tenant": event.tenant,
        "enforcer": event.enforcer,
        "agent": event.agent,
        "person": event.user,
        "target": event.target,
        "tool": event.tool,
        "call_hash": event.call_hash,
        "state": state.value,
        "digest": event.request_digest,
        "created": event.time,
        "decided": None if state is State.PENDING else decided[-1],
        "repeats": sum(isinstance(each, RequestRepeated) for each in events),
    }
    expected.add("request", (event.subject,), columns)
    texts: Columns = {
        "tenant": event.tenant,
        "document": event.request_digest,
        "call": event.call_hash,
        "explanation": event.explanation,
    }
    expected.add("request_text", (event.subject,), texts)


def _person(expected: Expected, events: Sequence[Event], uses: Mapping[object, Uses]) -> None:
    _invitations(expected, events)
    _passkeys(expected, events, uses)
    accounts: dict[tuple[object, ...], AccountLinked] = {}
    for event in events:
        if isinstance(event, AccountLinked):
            accounts[_account(event)] = event
        elif isinstance(event, AccountUnlinked):
            accounts.pop(_account(event), None)
    for key, event in accounts.items():
        columns: Columns = {
            "tenant": event.tenant,
            "person": event.person,
            "created": event.time,
        }
        expected.add("account", key, columns)


def _invitations(expected: Expected, events: Sequence[Event]) -> None:
    states: dict[object, str] = {}
    newest: object = None
    for event in events:
        match event:
            case PersonInvited(invitation=invitation):
                states.setdefault(newest, "replaced")
                newest = invitation
            case PasskeyEnrolled(invitation=invitation):
                states.setdefault(invitation, "used")
            case InvitationEnded(invitation=invitation):
                states.setdefault(invitation, "replaced")
            case _:
                pass
    for event in events:
        if isinstance(event, PersonInvited):
            columns: Columns = {
                "tenant": event.tenant,
                "person": event.person,
                "replaces": event.replaces,
                "created": event.time,
                # One that nobody used may have ended when its person left, or after a restore.
                "state": states.get(event.invitation, UNTOLD),
            }
            expected.add("invitation", (event.invitation,), columns)


def _passkeys(expected: Expected, events: Sequence[Event], uses: Mapping[object, Uses]) -> None:
    ended = {event.credential: event.time for event in events if isinstance(event, PasskeyRevoked)}
    for event in events:
        if isinstance(event, PasskeyEnrolled):
            credential = event.credential
            if credential not in ended:
                # Without their handle nobody signs in; with another, it is not they who do.
                expected.add("handle", (event.tenant, event.person), {"handle": event.subject})
            columns: Columns = {
                "tenant": event.tenant,
                "person": event.person,
                "public_key": event.public_key,
                "aaguid": event.aaguid,
                "backup_eligible": event.backup_eligible,
                "step_up": event.step_up,
                "attestation": event.attestation,
                "created": event.time,
                "state": "revoked" if credential in ended else "active",
                "ended": ended.get(credential),
                **uses.get(credential, Uses()).columns(),
            }
            expected.add("passkey", (credential,), columns)


def _account(event: OfAccount) -> tuple[object, ...]:
    return event.channel, event.team, event.account


def _bundles(expected: Expected, events: Sequence[BundleActivated]) -> None:
    excluded: dict[object, set[object]] = {}
    for number, event in enumerate(events):
        version, tenant = event.bundle, event.tenant
        if version not in excluded:
            bundle: Columns = {"files": version, "created": event.time}
            expected.add("bundle", (tenant, version), bundle)
        everybody = excluded.setdefault(version, set())
        everybody.add(event.by)
        activation: Columns = {
            "version": version,
            "activated_by": event.by,
            "excluded": UNTOLD if UNTOLD in everybody else sorted(str(each) for each in everybody),
            "created": event.time,
        }
        expected.add("activation", (tenant, number), activation)


def used(uses: dict[object, Uses], event: PasskeyUsed) -> None:
    """Add a use of a passkey to those before it."""
    before = uses.get(event.credential, Uses())
    match event:
        case PasskeyUsed(purpose=str(purpose), sign_count=int(count), unseen=int(unseen)):
            uses[event.credential] = Uses(
                uses=before.uses + 1,
                decisions=before.decisions + (purpose == Purpose.DECIDE.value),
                unseen=before.unseen + unseen,
                sign_count=max(count, before.sign_count or 0),
                last_used=max(event.time, before.last_used or 0),
            )
        case _:
            pass  # erased
