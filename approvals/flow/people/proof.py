"""Showing again that it is you: an assertion by a passkey that the signed-in person has.

For what a stolen session must not be able to do: enrol or revoke a passkey, link or unlink a chat
account. And what is kept of every assertion, whatever it was for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from approvals import log
from approvals.core import b64
from approvals.core.decision.occasion import Purpose
from approvals.core.errors import EvidenceError
from approvals.core.history.events import PasskeyUsed
from approvals.flow.acting.session import verify_present
from approvals.flow.knowing.logged import verify_passkeys, verify_unanswered
from approvals.flow.people import passkeys
from approvals.flow.people.challenges import Ceremony, give, stale, take

if TYPE_CHECKING:
    from approvals.flow.acting.session import Present, Session
    from approvals.flow.people.passkeys import Assertion
    from approvals.flow.service import Service
    from approvals.store import Tx
    from approvals.store.passkeys import Passkey


def ask(
    service: Service, session: Session, *, purpose: Purpose, subject: str | None = None
) -> Ceremony:
    """Give a challenge, good for one purpose and subject, to a passkey that the person has.

    Raises:
        Unauthenticated: they are signed out (`signed_out`).
    """
    with service.store.begin() as tx:
        who = verify_present(service, tx, session)
        given = give(service, tx, purpose, tenant=who.tenant, person=who.person, subject=subject)
        held = tx.passkeys.active(tenant=who.tenant, person=who.person)
    return given.to_browser(
        passkeys.request_options(service.settings, challenge=given.challenge, allowed=held)
    )


def check(
    service: Service,
    tx: Tx,
    session: Session,
    *,
    purpose: Purpose,
    ceremony_id: str,
    assertion: Assertion,
    subject: str | None = None,
) -> Present:
    """Take the challenge, and check that a passkey of the person answered it; gives the person.

    Raises:
        Unauthenticated: they are signed out (`signed_out`).
        Conflict: the challenge was used, is too old, or was for somebody or something else
            (`ceremony_used`).
        EvidenceError: the assertion does not hold, or is not by a passkey of theirs.
    """
    taken = take(service, tx, ceremony_id, purpose)
    who = verify_present(service, tx, session)
    owner = (who.tenant, who.person)
    if (taken.tenant, taken.person, taken.subject) != (*owner, subject):
        raise stale(purpose)
    held = tx.passkeys.get(b64.encode(assertion.credential_id))
    if held is None or (held.tenant, held.person) != owner:
        raise EvidenceError("this passkey is not enrolled for you", code="unknown_passkey")
    seen = passkeys.check_assertion(
        service.settings, assertion, challenge=taken.challenge, enrolled=held
    )
    record_use(
        tx,
        held,
        ceremony_id=taken.id,
        purpose=purpose,
        sign_count=seen.sign_count,
        backup_state=seen.backup_state,
    )
    return who


def record_use(
    tx: Tx,
    used: Passkey,
    *,
    ceremony_id: str,
    purpose: Purpose,
    sign_count: int,
    backup_state: bool,
) -> None:
    """Count and log a checked assertion, so that what a person signed can be held against it.

    Where the authenticator counts its own signatures, `unseen` are those that never came here:
    made for somebody who kept them, or for another site where one counter serves all sites.

    Raises:
        Unavailable: the passkey is not enrolled any more, or the challenge was answered before,
            and the rows say otherwise (`row_altered`).
    """
    verify_unanswered(tx, ceremony_id, tenant=used.tenant)
    verify_passkeys(tx, [used], tenant=used.tenant)
    unseen = max(0, sign_count - used.sign_count - 1) if used.sign_count else 0
    tx.passkeys.used(
        used.credential_id,
        sign_count=sign_count,
        backup_state=backup_state,
        decided=purpose is Purpose.DECIDE,
        unseen=unseen,
        now=tx.now,
    )
    log.append(
        tx,
        PasskeyUsed(
            time=tx.now,
            tenant=used.tenant,
            subject=ceremony_id,
            person=used.person,
            credential=used.credential_id,
            purpose=purpose.value,
            sign_count=sign_count,
            unseen=unseen,
        ),
    )
