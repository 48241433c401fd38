"""Showing again that it is you: an assertion by a passkey that the signed-in person has.

For what a stolen session must not be able to do: enrol a passkey, link a chat account.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from approvals.core import b64
from approvals.core.errors import EvidenceError
from approvals.flow import passkeys
from approvals.flow.challenges import Ceremony, give, new_challenge, stale, take

if TYPE_CHECKING:
    from approvals.flow.passkeys import Assertion
    from approvals.flow.service import Service
    from approvals.flow.signin import Session
    from approvals.store import Tx


def ask(service: Service, session: Session, *, purpose: str) -> Ceremony:
    """Give a challenge, good for one purpose, to a passkey that the person has."""
    challenge = new_challenge()
    with service.store.begin() as tx:
        ceremony_id = give(
            service,
            tx,
            purpose,
            challenge=challenge,
            tenant=session.tenant,
            person=session.person,
        )
        held = tx.people.passkeys(tenant=session.tenant, person=session.person)
    return Ceremony(
        ceremony_id,
        passkeys.request_options(service.settings, challenge=challenge, allowed=held),
    )


def check(
    service: Service,
    tx: Tx,
    session: Session,
    *,
    purpose: str,
    ceremony_id: str,
    assertion: Assertion,
) -> None:
    """Take the challenge, and check that a passkey of the person answered it.

    Raises:
        Conflict: the challenge was used, is too old, or was for somebody or something else
            (`ceremony_used`).
        EvidenceError: the assertion does not hold, or is not by a passkey of theirs.
    """
    taken = take(tx, ceremony_id, purpose)
    owner = (session.tenant, session.person)
    if (taken.tenant, taken.person) != owner:
        raise stale()
    held = tx.people.passkey(b64.encode(assertion.credential_id))
    if held is None or (held.tenant, held.person) != owner:
        raise EvidenceError("this passkey is not enrolled for you", code="unknown_passkey")
    seen = passkeys.check_assertion(
        service.settings, assertion, challenge=taken.challenge, enrolled=held
    )
    tx.people.used(held.credential_id, sign_count=seen.sign_count, backup_state=seen.backup_state)
