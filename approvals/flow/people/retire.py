"""Passkeys end: one that is lost, all that a new one replaces, all of somebody who leaves.

What holds: with a passkey end the person's signed-in browsers, and the challenges and the codes for
chat accounts that they were given, in one transaction; an ended passkey never comes back, whoever
comes back; each end is logged; and who stays is told, so that an end that somebody else brought
about is noticed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from approvals import log
from approvals.core.decision.occasion import Purpose
from approvals.core.errors import NotFound
from approvals.core.history.events import InvitationEnded, PasskeyRevoked, SessionEnded
from approvals.flow.knowing.handles import verify_handles
from approvals.flow.knowing.subjects import person_subject, session_subject
from approvals.flow.people import passkeys, proof
from approvals.flow.people.accounts import log_unlinked
from approvals.flow.telling.outbox import NoticeKind, tell

if TYPE_CHECKING:
    from approvals.flow.acting.session import Session
    from approvals.flow.people.challenges import Ceremony
    from approvals.flow.service import Service
    from approvals.policy.bundle import Bundle
    from approvals.store import Tx


class Reason(StrEnum):
    """Why a passkey ended."""

    REVOKED = "revoked"
    REPLACED = "replaced"
    LEFT = "left"
    RESTORED = "restored"


@dataclass(frozen=True, slots=True)
class Ended:
    """How much ended: passkeys and signed-in browsers."""

    passkeys: int
    sessions: int


def retire(
    tx: Tx,
    bundle: Bundle,
    *,
    tenant: str,
    person: str,
    reason: Reason,
    only: str | None = None,
) -> Ended:
    """End a person's passkeys, or `only` one of them, and all of their access until now.

    A browser that is signed in does not say by which passkey, so all of them sign in again. A
    person of the bundle is told, in one notice however many passkeys ended.
    """
    # In the order in which whoever answers a challenge locks them: the challenge, then the passkey.
    sessions = tx.people.end_access(tenant=tenant, person=person)
    for hashed in sessions:
        session_ended(tx, hashed, tenant=tenant, person=person)
    ended = tx.passkeys.revoke(tenant=tenant, person=person, now=tx.now, only=only)
    tx.accounts.end_codes(tenant=tenant, person=person)
    subject = person_subject(tx, tenant=tenant, person=person)
    for passkey in ended:
        log.append(
            tx,
            PasskeyRevoked(
                time=passkey.ended or tx.now,
                tenant=tenant,
                subject=subject,
                person=person,
                credential=passkey.credential_id,
                reason=reason.value,
            ),
        )
    if ended:
        tell(
            tx,
            bundle,
            NoticeKind.PASSKEY_REVOKED,
            tenant=tenant,
            persons=(person,),
            subject=ended[0].credential_id,
        )
    return Ended(len(ended), len(sessions))


def session_ended(tx: Tx, token_hash: str, *, tenant: str, person: str) -> None:
    """Log that a browser is signed out, so that its row cannot be put back."""
    log.append(
        tx,
        SessionEnded(
            time=tx.now, tenant=tenant, subject=session_subject(token_hash), person=person
        ),
    )


def end_invitations(
    tx: Tx, *, tenant: str | None = None, person: str | None = None
) -> frozenset[str]:
    """End open invitations, all or a person's, for good: no row that is put back opens one.

    Gives the hashes of their tokens.
    """
    ended = tx.people.end_invitations(tenant=tenant, person=person)
    for of, invited, hashed in ended:
        log.append(
            tx,
            InvitationEnded(
                time=tx.now,
                tenant=of,
                subject=person_subject(tx, tenant=of, person=invited),
                person=invited,
                invitation=hashed,
            ),
        )
    return frozenset(hashed for *_, hashed in ended)


def offboard(tx: Tx, bundle: Bundle, *, tenant: str) -> None:
    """End, for good, all access of everybody who is not in the bundle: they left people.yaml.

    Raises:
        Unavailable: somebody who left has something by the log, and their handle is missing or
            altered (`row_altered`).
    """
    verify_handles(tx, tenant=tenant, staying=frozenset(bundle.people))
    for person in sorted(tx.passkeys.holders(tenant) - bundle.people.keys()):
        retire(tx, bundle, tenant=tenant, person=person, reason=Reason.LEFT)
        end_invitations(tx, tenant=tenant, person=person)
        for account in tx.accounts.leave(tenant=tenant, person=person):
            log_unlinked(tx, bundle, account)
        # Last: it names the subject of the events above.
        tx.passkeys.forget_handle(tenant=tenant, person=person)


def revoke(service: Service, *, tenant: str, person: str, credential_id: str) -> Ended:
    """End one passkey, from a shell.

    Raises:
        NotFound: the person has no such active passkey (`unknown_passkey`).
    """
    with service.store.begin() as tx:
        bundle = service.current_bundle(tx, tenant).bundle
        return _one(tx, bundle, tenant=tenant, person=person, credential_id=credential_id)


def begin_revoke(service: Service, session: Session, credential_id: str) -> Ceremony:
    """Start ending one of one's own passkeys: a challenge for any that the person has."""
    return proof.ask(service, session, purpose=Purpose.REVOKE, subject=credential_id)


def finish_revoke(
    service: Service, session: Session, credential_id: str, ceremony_id: str, credential: object
) -> Ended:
    """End one of one's own passkeys, the one that answers or another.

    Raises:
        NotFound: the person has no such active passkey (`unknown_passkey`).
        Conflict: the challenge was used, is too old or was for something else (`ceremony_used`).
        EvidenceError: the assertion does not hold, or is not by a passkey of theirs.
    """
    assertion = passkeys.read_assertion(credential)
    with service.store.begin() as tx:
        who = proof.check(
            service,
            tx,
            session,
            purpose=Purpose.REVOKE,
            ceremony_id=ceremony_id,
            assertion=assertion,
            subject=credential_id,
        )
        return _one(
            tx,
            who.bundle,
            tenant=who.tenant,
            person=who.person,
            credential_id=credential_id,
        )


def _one(tx: Tx, bundle: Bundle, *, tenant: str, person: str, credential_id: str) -> Ended:
    ended = retire(
        tx, bundle, tenant=tenant, person=person, reason=Reason.REVOKED, only=credential_id
    )
    if not ended.passkeys:
        raise NotFound(f"{person} has no such passkey", code="unknown_passkey")
    return ended
