"""What the log tells of one subject, held against the rows that are about to be used.

A seal shows that the service wrote a row. It cannot show that the row is the newest of those that
the service wrote there, or that another row is missing: a request put back to pending after its
denial, a spend that was deleted, a passkey put back after it was revoked. The events of the subject
show it. Each names the one before, and the chain's sealed row says how many there are and which is
the last, so whoever wants an older row to hold must take events out of the log as well. The Merkle
tree, its signed checkpoints and the keys' mark show that.

Ask where nothing changes meanwhile: with the row's lock, or in a transaction that only reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from approvals.core import b64, canonical
from approvals.core.ceremony import Decision
from approvals.core.errors import ProofError
from approvals.core.events import EventType, LeafEvent
from approvals.core.rebuild import Became, Use, follow
from approvals.flow.subjects import session_subject, subject_of
from approvals.store.seals import altered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from approvals.core.canonical import Json
    from approvals.core.quorum import Vote
    from approvals.store import Tx
    from approvals.store.accounts import Account
    from approvals.store.approvals import IssuedApproval, Spend
    from approvals.store.leaves import Told
    from approvals.store.people import Passkey
    from approvals.store.requests import StoredRequest

_LINKS = {EventType.ACCOUNT_LINKED, EventType.ACCOUNT_UNLINKED}
_DECISIONS = {EventType.VOTE_APPROVE: Decision.APPROVE, EventType.VOTE_DENY: Decision.DENY}


@dataclass(frozen=True, slots=True)
class Subject:
    """The events of a subject, what they opened, and what became of what they name."""

    events: tuple[LeafEvent, ...]
    opened: tuple[dict[str, Json], ...]
    became: dict[str, Became]


def told(tx: Tx, *, tenant: str, subject: str) -> Subject:
    """The subject's events, complete and in order.

    Raises:
        Unavailable: some are missing, or they are not those that the service wrote (`row_altered`).
    """
    return _read(tx.log.history(tenant=tenant, subject=subject), tenant, subject)


def _read(stored: Told, tenant: str, subject: str) -> Subject:
    try:
        followed = follow(stored.leaves)
    except ProofError as error:
        raise altered("chain", tenant, subject, error.code) from error
    if (len(followed.events), followed.head) != (stored.count, stored.head):
        raise altered("chain", tenant, subject)
    return Subject(
        events=followed.events,
        opened=tuple(opened(opening) for opening in stored.openings),
        became=followed.became,
    )


def must_be_told(tx: Tx, stored: StoredRequest) -> Subject:
    """Hold a request and its votes against their events; gives these.

    Raises:
        Unavailable: the events tell something else (`row_altered`).
    """
    request = stored.request
    subject = told(tx, tenant=request.document.tenant, subject=request.id)
    if subject.became.get(request.id) is not request.state:
        raise altered("request", request.id)
    votes = [event for event in subject.events if event.type in _DECISIONS]
    if len(votes) != len(request.votes):
        raise altered("vote", request.id)
    for event, vote in zip(votes, request.votes, strict=True):
        if (
            _DECISIONS[event.type],
            event.time,
            event.public["statement"],
            event.public["evidence"],
        ) != _vote(vote):
            raise altered("vote", request.id, vote.approver)
    return subject


def use_must_be_told(tx: Tx, approval: IssuedApproval, spend: Spend | None) -> Subject:
    """Hold what became of an approval against the events; gives these.

    Raises:
        Unavailable: the events tell something else (`row_altered`).
    """
    subject = told(tx, tenant=approval.tenant, subject=approval.txn)
    held = Use.SPENT.value if spend is not None else approval.state
    if subject.became.get(approval.jti) != held:
        raise altered("approval", approval.jti)
    reported = any(event.type is EventType.OUTCOME_REPORTED for event in subject.events)
    outcome = tx.approvals.outcome(tenant=approval.tenant, jti=approval.jti)
    if reported is not (outcome is not None):
        raise altered("outcome", approval.jti)
    return subject


def passkeys_must_be_told(tx: Tx, passkeys: Sequence[Passkey], *, tenant: str) -> None:
    """Hold active passkeys of a tenant against their people's events, in one statement.

    Raises:
        Unavailable: one was not enrolled so, or has ended since (`row_altered`).
    """
    people = {passkey.person for passkey in passkeys}
    handles = tx.people.handles(tenant) if len(people) > 1 else {}
    subjects = {}
    for person in people:
        known = handles.get(person)
        subjects[person] = _subject_of(tx, tenant, person) if known is None else subject_of(known)
    histories = tx.log.histories(tenant=tenant, subjects=[*subjects.values()]) if subjects else {}
    read = {
        person: _read(histories[subject], tenant, subject) for person, subject in subjects.items()
    }
    for passkey in passkeys:
        if _enrolled(read[passkey.person]).get(passkey.credential_id) != (
            passkey.person,
            b64.encode(passkey.public_key),
        ):
            raise altered("passkey", passkey.credential_id)


def _subject_of(tx: Tx, tenant: str, person: str) -> str:
    """The subject of somebody's events; whoever has any has a handle."""
    handle = tx.people.known_handle(tenant=tenant, person=person)
    if handle is None:
        raise altered("handle", tenant, person)
    return subject_of(handle)


def _enrolled(subject: Subject) -> dict[object, tuple[Json, Json]]:
    """(person, public key) by the id of each credential that was enrolled and has not ended."""
    active: dict[object, tuple[Json, Json]] = {}
    for event, opened in zip(subject.events, subject.opened, strict=True):
        credential = opened.get("credential")
        if event.type is EventType.PASSKEY_ENROLLED:
            active[credential] = opened.get("person"), opened.get("public_key")
        elif event.type is EventType.PASSKEY_REVOKED:
            active.pop(credential, None)
    return active


def invitation_must_be_told(tx: Tx, token_hash: str, *, tenant: str, person: str) -> None:
    """Hold an open invitation against the person's events.

    Raises:
        Unavailable: it is not the newest one, or somebody enrolled with it (`row_altered`).
    """
    subject = told(tx, tenant=tenant, subject=_subject_of(tx, tenant, person))
    newest = None
    for event, opened in zip(subject.events, subject.opened, strict=True):
        if event.type is EventType.PERSON_INVITED:
            newest = opened.get("invitation")
        elif event.type is EventType.PASSKEY_ENROLLED and opened.get("invitation") == newest:
            newest = None
    if newest != token_hash:
        raise altered("invitation", token_hash)


def account_must_be_told(tx: Tx, account: Account) -> None:
    """Hold a linked chat account against its person's events.

    Raises:
        Unavailable: it was not linked, or is not any more (`row_altered`).
    """
    whose = _subject_of(tx, account.tenant, account.person)
    subject = told(tx, tenant=account.tenant, subject=whose)
    linked = False
    for event, opened in zip(subject.events, subject.opened, strict=True):
        if event.type in _LINKS and (account.channel, account.team, account.account) == tuple(
            opened.get(name) for name in ("channel", "team", "account")
        ):
            linked = event.type is EventType.ACCOUNT_LINKED
    if not linked:
        raise altered("account", account.channel, account.team, account.account)


def session_must_be_told(tx: Tx, token_hash: str, *, tenant: str) -> None:
    """Hold a signed-in browser against its events.

    Raises:
        Unavailable: it was not signed in, or has been signed out (`row_altered`).
    """
    subject = told(tx, tenant=tenant, subject=session_subject(token_hash))
    if [event.type for event in subject.events] != [EventType.SESSION_STARTED]:
        raise altered("session", token_hash)


def must_be_unused(tx: Tx, ceremony_id: str, *, tenant: str) -> None:
    """Refuse a challenge that a passkey has answered before, although its row says otherwise.

    Raises:
        Unavailable: it has been answered (`row_altered`).
    """
    if told(tx, tenant=tenant, subject=ceremony_id).events:
        raise altered("ceremony", ceremony_id)


def _vote(vote: Vote) -> tuple[Decision, int, str | None, str | None]:
    statement, evidence = vote.statement, vote.evidence
    return (
        vote.decision,
        vote.time,
        None if statement is None else canonical.digest(statement.document()),
        None if evidence is None else canonical.digest(evidence.document()),
    )


def opened(opening: str) -> dict[str, Json]:
    """Read an opening: the secret values of an event by name, without those that were erased."""
    members: dict[str, dict[str, Json]] = orjson.loads(opening)
    return {name: member["value"] for name, member in members.items()}
