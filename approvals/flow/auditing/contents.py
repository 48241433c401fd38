"""Computes from the events of a subject the rows that the database must hold.

Each expected row has its primary key, and the columns that an event commits to. A value whose
opening was erased is unknown (`UNTOLD`) and is not compared. No event commits to these columns,
which only their seal protects: when a challenge or an invitation expires, a passkey's transports
and backup state, and when a person first opened a request.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from approvals.core.decision.occasion import Purpose
from approvals.core.history.events import EventType
from approvals.core.history.rebuild import Use
from approvals.core.requests import State
from approvals.flow.auditing.compare import UNTOLD, Columns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from approvals.core.canonical import Json
    from approvals.core.history.events import LeafEvent
    from approvals.core.history.rebuild import Became, Followed
    from approvals.store.records import Key


_OUTCOMES: Final = {
    EventType.CALL_ALLOWED: "allow",
    EventType.CALL_REFUSED: "deny",
    EventType.REQUEST_OPENED: "escalate",
    EventType.REQUEST_REPEATED: "escalate",
}
_VOTES: Final = {EventType.VOTE_APPROVE: "approve", EventType.VOTE_DENY: "deny"}
_ENDS: Final = {
    EventType.REQUEST_APPROVED,
    EventType.REQUEST_DENIED,
    EventType.REQUEST_EXPIRED,
    EventType.REQUEST_CANCELLED,
    EventType.REQUEST_REVOKED,
}


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
    opened: tuple[dict[str, Json], ...],
    *,
    uses: Mapping[object, Uses],
) -> None:
    """Add the rows that one subject's events tell of; there is at least one event."""
    tenant, subject = followed.events[0].tenant, followed.events[0].subject
    expected.add("chain", (tenant, subject), {"count": len(followed.events), "head": followed.head})
    events = [_Told(event, secret) for event, secret in zip(followed.events, opened, strict=True)]
    if subject.startswith(("req_", "vrd_")):
        _occasion(expected, subject, events, followed.became)
    elif subject.startswith("psn_"):
        _person(expected, events, uses)
    elif subject == "bundles":
        _bundles(expected, events)


@dataclass(frozen=True, slots=True)
class _Told:
    """An event and its secret values, as far as they are opened."""

    event: LeafEvent
    secret: Mapping[str, Json]

    def __getitem__(self, name: str) -> Any:
        """A secret value, or that it cannot be told."""
        return self.secret.get(name, UNTOLD)


def _occasion(
    expected: Expected, subject: str, events: list[_Told], became: Mapping[str, Became]
) -> None:
    votes = 0
    for told in events:
        event = told.event
        if event.type in _OUTCOMES:
            _verdict(expected, told)
        if event.type is EventType.REQUEST_OPENED:
            _request(expected, subject, told, events, became)
        elif event.type in _VOTES:
            columns: Columns = {
                "tenant": event.tenant,
                "position": votes + 1,
                "decision": _VOTES[event.type],
                "statement": event.public["statement"],
                "evidence": event.public["evidence"],
                "created": event.time,
                **{name: told[name] for name in ("step_up", "channel", "reason")},
            }
            votes += 1
            expected.add("vote", (subject, told["approver"]), columns)
        elif event.type is EventType.APPROVAL_CONSUMED:
            spend: Columns = {
                "tenant": event.tenant,
                "receipt": event.public["receipt"],
                "use_id": told["use_id"],
                "created": event.time,
            }
            expected.add("spend", (event.public["approval"],), spend)
        elif event.type is EventType.OUTCOME_REPORTED:
            outcome: Columns = {
                "tenant": event.tenant,
                "status": told["status"],
                "output_hash": told["output_hash"],
                "created": event.time,
            }
            expected.add("outcome", (event.public["approval"],), outcome)
        if event.type in {EventType.CALL_ALLOWED, EventType.REQUEST_APPROVED}:
            jti = event.public["approval"]
            approval: Columns = {
                "tenant": event.tenant,
                "txn": subject,
                "token": event.public["token"],
                "state": "lapsed" if became[str(jti)] is Use.LAPSED else "live",
                "created": event.time,
            }
            expected.add("approval", (jti,), approval)


def _verdict(expected: Expected, told: _Told) -> None:
    event = told.event
    same = ("enforcer", "agent", "target", "tool", "call_hash", "bundle", "record", "answer")
    columns: Columns = {
        "tenant": event.tenant,
        "person": told["user"],
        "outcome": _OUTCOMES[event.type],
        "created": event.time,
        **{name: told[name] for name in same},
    }
    verdict = event.public["verdict"]
    expected.add("verdict", (verdict,), columns)
    asked = told["idempotency"]
    if asked is UNTOLD:
        expected.nameless["idempotency"] += 1
    elif asked is not None:
        key, digest = asked
        answered: Columns = {"body_digest": digest, "verdict": verdict, "created": event.time}
        expected.add("idempotency", (event.tenant, told["enforcer"], key), answered)


def _request(
    expected: Expected,
    subject: str,
    told: _Told,
    events: list[_Told],
    became: Mapping[str, Became],
) -> None:
    event, state = told.event, became[subject]
    decided = [each.event.time for each in events if each.event.type in _ENDS]
    columns: Columns = {
        "tenant": event.tenant,
        "person": told["user"],
        "state": state.value,
        "digest": event.public["request_digest"],
        "created": event.time,
        "decided": None if state is State.PENDING else decided[-1],
        "repeats": sum(each.event.type is EventType.REQUEST_REPEATED for each in events),
        **{name: told[name] for name in ("enforcer", "agent", "target", "tool", "call_hash")},
    }
    expected.add("request", (subject,), columns)
    texts: Columns = {
        "tenant": event.tenant,
        "document": event.public["request_digest"],
        "call": told["call_hash"],
        "explanation": told["explanation"],
    }
    expected.add("request_text", (subject,), texts)


def _person(expected: Expected, events: list[_Told], uses: Mapping[object, Uses]) -> None:
    _invitations(expected, events)
    _passkeys(expected, events, uses)
    accounts: dict[object, _Told] = {}
    for told in events:
        if told.event.type is EventType.ACCOUNT_LINKED:
            accounts[_account(told)] = told
        elif told.event.type is EventType.ACCOUNT_UNLINKED:
            accounts.pop(_account(told), None)
    for told in accounts.values():
        columns: Columns = {
            "tenant": told.event.tenant,
            "person": told["person"],
            "created": told.event.time,
        }
        expected.add("account", _account(told), columns)


def _invitations(expected: Expected, events: list[_Told]) -> None:
    states: dict[object, str] = {}
    newest: object = None
    for told in events:
        if told.event.type is EventType.PERSON_INVITED:
            states.setdefault(newest, "replaced")
            newest = told["invitation"]
        elif told.event.type is EventType.PASSKEY_ENROLLED:
            states.setdefault(told["invitation"], "used")
        elif told.event.type is EventType.INVITATION_ENDED:
            states.setdefault(told["invitation"], "replaced")
    for told in events:
        if told.event.type is EventType.PERSON_INVITED:
            columns: Columns = {
                "tenant": told.event.tenant,
                "person": told["person"],
                "replaces": told["replaces"],
                "created": told.event.time,
                # One that nobody used may have ended when its person left, or after a restore.
                "state": states.get(told["invitation"], UNTOLD),
            }
            expected.add("invitation", (told["invitation"],), columns)


def _passkeys(expected: Expected, events: list[_Told], uses: Mapping[object, Uses]) -> None:
    ended = {
        told["credential"]: told.event.time
        for told in events
        if told.event.type is EventType.PASSKEY_REVOKED
    }
    same = ("person", "public_key", "aaguid", "backup_eligible", "step_up", "attestation")
    for told in events:
        if told.event.type is EventType.PASSKEY_ENROLLED:
            credential = told["credential"]
            if credential not in ended:
                # Without their handle nobody signs in; with another, it is not they who do.
                whose = told.event.tenant, told["person"]
                expected.add("handle", whose, {"handle": told.event.subject})
            columns: Columns = {
                "tenant": told.event.tenant,
                "created": told.event.time,
                "state": "revoked" if credential in ended else "active",
                "ended": ended.get(credential),
                **{name: told[name] for name in same},
                **uses.get(credential, Uses()).columns(),
            }
            expected.add("passkey", (credential,), columns)


def _account(told: _Told) -> tuple[object, ...]:
    return told["channel"], told["team"], told["account"]


def _bundles(expected: Expected, events: list[_Told]) -> None:
    excluded: dict[object, set[object]] = {}
    for number, told in enumerate(events):
        version, tenant = told["bundle"], told.event.tenant
        if version not in excluded:
            bundle: Columns = {"files": version, "created": told.event.time}
            expected.add("bundle", (tenant, version), bundle)
        everybody = excluded.setdefault(version, set())
        everybody.add(told["by"])
        activation: Columns = {
            "version": version,
            "activated_by": told["by"],
            "excluded": UNTOLD if UNTOLD in everybody else sorted(str(each) for each in everybody),
            "created": told.event.time,
        }
        expected.add("activation", (tenant, number), activation)


def used(uses: dict[object, Uses], event: LeafEvent, secret: Mapping[str, Json]) -> None:
    """Add a use of a passkey to those before it."""
    credential = secret.get("credential")
    before = uses.get(credential, Uses())
    match secret:
        case {"purpose": str(purpose), "sign_count": int(count), "unseen": int(unseen)}:
            uses[credential] = Uses(
                uses=before.uses + 1,
                decisions=before.decisions + (purpose == Purpose.DECIDE.value),
                unseen=before.unseen + unseen,
                sign_count=max(count, before.sign_count or 0),
                last_used=max(event.time, before.last_used or 0),
            )
        case _:
            pass  # erased
