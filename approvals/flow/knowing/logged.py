"""Compares rows that are about to be used with the logged events of their subject.

A seal shows that the service wrote a row. It cannot show that the row is the newest one, or that no
other row is missing. An attacker who can write to the database may put a request back to pending
after its denial, delete a spend, or put back a passkey that was revoked. The subject's events show
each of these. Every event names the one before it, and a sealed row says how many there are and
which is the last. So an attacker would have to take events out of the log as well, which its Merkle
tree, the signed checkpoints and the keys' mark show. No hash covers what opens an event's sealed
values, so each value is held against what the event committed to, and none may be missing where it
says what somebody has.

Call these where nothing changes meanwhile: with the row's lock, or in a transaction that only
reads.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import orjson

from approvals.core import b64, canonical
from approvals.core.decision.ceremony import Decision
from approvals.core.errors import ProofError, Unavailable
from approvals.core.history.events import (
    AccountLinked,
    AccountUnlinked,
    CodeGiven,
    InvitationEnded,
    OutcomeReported,
    PasskeyEnrolled,
    PasskeyRevoked,
    PersonInvited,
    SessionStarted,
    VoteApprove,
    Voted,
    VoteDeny,
)
from approvals.core.history.leaves import LeafEvent, verify_opening
from approvals.core.history.rebuild import Became, Use, follow
from approvals.flow.knowing.subjects import session_subject, subject_of
from approvals.store.seals import ROW_ALTERED, altered

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from approvals.core.decision.vote import Vote
    from approvals.store import Tx
    from approvals.store.accounts import Account
    from approvals.store.approvals import IssuedApproval, Spend
    from approvals.store.chains import Told
    from approvals.store.passkeys import Passkey
    from approvals.store.requests import StoredRequest


@dataclass(frozen=True, slots=True)
class Subject:
    """The events of a subject, their openings, and what became of what they name."""

    told: tuple[LeafEvent, ...]
    openings: tuple[str, ...]
    became: dict[str, Became]
    head: bytes | None

    def opened(self) -> Iterator[LeafEvent]:
        """Each event with all of its sealed values, which are those that it committed to.

        Raises:
            Unavailable: a value is another one, or is missing (`row_altered`).
        """
        for told, opening in zip(self.told, self.openings, strict=True):
            try:
                event = verify_opening(told, orjson.loads(opening))
            except (ValueError, AttributeError, ProofError) as error:
                raise altered("leaf", told.event.subject, told.link.seq) from error
            if event.erased():
                # The check of the log finds nothing: values may be erased, of what nobody has.
                raise Unavailable(
                    f"what opens event {told.link.seq} of {event.subject} is missing, and without "
                    "it nobody can tell what somebody has: put the column opening of this row of "
                    "the table leaf back from the backup",
                    code=ROW_ALTERED,
                )
            yield replace(told, event=event)


def events_of(tx: Tx, *, tenant: str, subject: str) -> Subject:
    """The subject's events, complete and in order.

    Raises:
        Unavailable: some are missing, or they are not those that the service wrote (`row_altered`).
    """
    return _read(tx.chains.history(tenant=tenant, subject=subject), tenant, subject)


def _read(stored: Told, tenant: str, subject: str) -> Subject:
    try:
        followed = follow(stored.leaves)
    except ProofError as error:
        raise altered("chain", tenant, subject, error.code) from error
    if (len(followed.told), followed.head) != (stored.count, stored.head):
        raise altered("chain", tenant, subject)
    return Subject(followed.told, stored.openings, followed.became, followed.head)


def verify_request(tx: Tx, stored: StoredRequest) -> Subject:
    """Hold a request and its votes against their events; gives these.

    Raises:
        Unavailable: the events tell something else (`row_altered`).
    """
    request = stored.request
    subject = events_of(tx, tenant=request.document.tenant, subject=request.id)
    if subject.became.get(request.id) is not request.state:
        raise altered("request", request.id)
    votes = [told.event for told in subject.told if isinstance(told.event, Voted)]
    if len(votes) != len(request.votes):
        raise altered("vote", request.id)
    for event, vote in zip(votes, request.votes, strict=True):
        if (type(event), event.time, event.statement, event.evidence) != _vote(vote):
            raise altered("vote", request.id, vote.approver)
    return subject


def verify_use(tx: Tx, approval: IssuedApproval, spend: Spend | None) -> Subject:
    """Hold what became of an approval against the events; gives these.

    Raises:
        Unavailable: the events tell something else (`row_altered`).
    """
    subject = events_of(tx, tenant=approval.tenant, subject=approval.txn)
    held = Use.SPENT.value if spend is not None else approval.state
    if subject.became.get(approval.jti) != held:
        raise altered("approval", approval.jti)
    reported = any(isinstance(told.event, OutcomeReported) for told in subject.told)
    outcome = tx.approvals.outcome(tenant=approval.tenant, jti=approval.jti)
    if reported is not (outcome is not None):
        raise altered("outcome", approval.jti)
    return subject


def verify_passkeys(tx: Tx, passkeys: Sequence[Passkey], *, tenant: str) -> None:
    """Hold active passkeys of a tenant against their people's events, in one statement.

    Raises:
        Unavailable: one was not enrolled so, or has ended since (`row_altered`).
    """
    people = {passkey.person for passkey in passkeys}
    handles = tx.passkeys.handles(tenant) if len(people) > 1 else {}
    subjects = {}
    for person in people:
        known = handles.get(person)
        subjects[person] = _subject_of(tx, tenant, person) if known is None else subject_of(known)
    histories = (
        tx.chains.histories(tenant=tenant, subjects=[*subjects.values()]) if subjects else {}
    )
    read = {
        person: _read(histories[subject], tenant, subject) for person, subject in subjects.items()
    }
    for passkey in passkeys:
        if enrolled(read[passkey.person].opened()).get(passkey.credential_id) != (
            passkey.person,
            b64.encode(passkey.public_key),
        ):
            raise altered("passkey", passkey.credential_id)


def _subject_of(tx: Tx, tenant: str, person: str) -> str:
    """The subject of somebody's events; whoever has any has a handle."""
    handle = tx.passkeys.known_handle(tenant=tenant, person=person)
    if handle is None:
        raise altered("handle", tenant, person)
    return subject_of(handle)


def enrolled(history: Iterable[LeafEvent]) -> dict[object, tuple[object, object]]:
    """(person, public key) by the id of each credential that was enrolled and has not ended."""
    active: dict[object, tuple[object, object]] = {}
    for told in history:
        match told.event:
            case PasskeyEnrolled(credential=credential, person=person, public_key=key):
                active[credential] = person, key
            case PasskeyRevoked(credential=credential):
                active.pop(credential, None)
            case _:
                pass
    return active


def verify_invitation(tx: Tx, token_hash: str, *, tenant: str, person: str) -> None:
    """Hold an open invitation against the person's events.

    Raises:
        Unavailable: it is not the newest one, it ended, or somebody enrolled with it
            (`row_altered`).
    """
    subject = events_of(tx, tenant=tenant, subject=_subject_of(tx, tenant, person))
    if open_invitation(subject.opened()) != token_hash:
        raise altered("invitation", token_hash)


def open_invitation(history: Iterable[LeafEvent]) -> object:
    """The hash of the token of the invitation that is open by its person's events, if any."""
    newest: object = None
    for told in history:
        match told.event:
            case PersonInvited(invitation=invitation):
                newest = invitation
            case PasskeyEnrolled(invitation=ended) | InvitationEnded(invitation=ended) if (
                ended == newest
            ):
                newest = None
            case _:
                pass
    return newest


def verify_enrolment(
    tx: Tx, ceremony_id: str, *, after: bytes | None, tenant: str, person: str
) -> None:
    """Hold an open challenge that enrols a passkey against the person's events.

    Raises:
        Unavailable: a passkey was enrolled with it, or it ended with a passkey of the person
            (`row_altered`).
    """
    subject = events_of(tx, tenant=tenant, subject=_subject_of(tx, tenant, person))
    if not still_enrols(subject.opened(), ceremony_id, after=after, head=subject.head):
        raise altered("ceremony", ceremony_id)


def still_enrols(
    history: Iterable[LeafEvent],
    ceremony_id: str,
    *,
    after: bytes | None,
    head: bytes | None,
) -> bool:
    """Whether a challenge that was given after that event can still enrol, by its person's events.

    `head` is the leaf hash of the last of them.
    """
    given = False
    for told in history:
        given = given or (after is not None and told.link.previous == after)
        if given and (
            isinstance(told.event, PasskeyRevoked)
            or (isinstance(told.event, PasskeyEnrolled) and told.event.ceremony == ceremony_id)
        ):
            return False
    return given or (after is not None and after == head)


def verify_code(tx: Tx, code_hash: str, *, channel: str, tenant: str, person: str) -> None:
    """Hold an open code for a chat account against the person's events.

    Raises:
        Unavailable: it is not the newest one, it was used, or it ended with a passkey of the person
            (`row_altered`).
    """
    subject = events_of(tx, tenant=tenant, subject=_subject_of(tx, tenant, person))
    if open_code(subject.opened(), channel=channel) != code_hash:
        raise altered("link_code", code_hash)


def open_code(history: Iterable[LeafEvent], *, channel: str) -> object:
    """The hash of the code that links an account on a channel by its person's events, if any."""
    newest: object = None
    for told in history:
        event = told.event
        if isinstance(event, CodeGiven) and event.channel == channel:
            newest = event.code
        elif isinstance(event, PasskeyRevoked) or (
            isinstance(event, AccountLinked) and event.code == newest
        ):
            newest = None
    return newest


def verify_account(tx: Tx, account: Account) -> None:
    """Hold a linked chat account against its person's events.

    Raises:
        Unavailable: it was not linked, or is not any more (`row_altered`).
    """
    whose = _subject_of(tx, account.tenant, account.person)
    subject = events_of(tx, tenant=account.tenant, subject=whose)
    if (account.channel, account.team, account.account) not in linked(subject.opened()):
        raise altered("account", account.channel, account.team, account.account)


def linked(history: Iterable[LeafEvent]) -> dict[tuple[object, object, object], object]:
    """The person by the (channel, team, account) of each chat account that is linked."""
    people: dict[tuple[object, object, object], object] = {}
    for told in history:
        match told.event:
            case AccountLinked(channel=channel, team=team, account=account, person=person):
                people[channel, team, account] = person
            case AccountUnlinked(channel=channel, team=team, account=account):
                people.pop((channel, team, account), None)
            case _:
                pass
    return people


def verify_session(tx: Tx, token_hash: str, *, tenant: str) -> None:
    """Hold a signed-in browser against its events.

    Raises:
        Unavailable: it was not signed in, or has been signed out (`row_altered`).
    """
    subject = events_of(tx, tenant=tenant, subject=session_subject(token_hash))
    if [type(told.event) for told in subject.told] != [SessionStarted]:
        raise altered("session", token_hash)


def verify_unanswered(tx: Tx, ceremony_id: str, *, tenant: str) -> None:
    """Refuse a challenge that a passkey has answered before, although its row says otherwise.

    Raises:
        Unavailable: it has been answered (`row_altered`).
    """
    if events_of(tx, tenant=tenant, subject=ceremony_id).told:
        raise altered("ceremony", ceremony_id)


def _vote(vote: Vote) -> tuple[type[Voted], int, str | None, str | None]:
    statement, evidence = vote.statement, vote.evidence
    return (
        VoteApprove if vote.decision is Decision.APPROVE else VoteDeny,
        vote.time,
        None if statement is None else canonical.digest(statement.document()),
        None if evidence is None else canonical.digest(evidence.document()),
    )
