"""Showing again that it is you: an assertion by a passkey that the signed-in person has.

For what a stolen session must not be able to do: enrol a passkey, link a chat account.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from approvals.core import b64
from approvals.core.errors import Conflict, EvidenceError
from approvals.flow import passkeys
from approvals.flow.service import new_occasion
from approvals.store.people import Ceremony as StoredCeremony

if TYPE_CHECKING:
    from approvals.flow.passkeys import Assertion
    from approvals.flow.service import Service
    from approvals.flow.signin import Session
    from approvals.store import Tx


@dataclass(frozen=True, slots=True)
class Ceremony:
    """A challenge for the browser: `options` go to the WebAuthn call as they are."""

    id: str
    options: dict[str, Any]


def ask(service: Service, session: Session, *, purpose: str) -> Ceremony:
    """Give a challenge, good for one purpose, to a passkey that the person has."""
    challenge = secrets.token_bytes(32)
    ceremony_id = f"cer_{new_occasion()}"
    with service.store.begin() as tx:
        tx.people.open_ceremony(
            StoredCeremony(
                id=ceremony_id,
                tenant=session.tenant,
                kind=purpose,
                person=session.person,
                subject=None,
                challenge=challenge,
                statement=None,
                expires=tx.now + service.settings.statement_life,
            )
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
    taken = tx.people.take_ceremony(ceremony_id, kind=purpose, now=tx.now)
    owner = (session.tenant, session.person)
    if taken is None or (taken.tenant, taken.person) != owner:
        raise stale()
    held = tx.people.passkey(b64.encode(assertion.credential_id))
    if held is None or (held.tenant, held.person) != owner:
        raise EvidenceError("this passkey is not enrolled for you", code="unknown_passkey")
    seen = passkeys.check_assertion(
        service.settings, assertion, challenge=taken.challenge, enrolled=held
    )
    tx.people.used(held.credential_id, sign_count=seen.sign_count, backup_state=seen.backup_state)


def stale() -> Conflict:
    """A challenge that cannot be answered any more."""
    return Conflict("this challenge was used or is too old; start again", code="ceremony_used")
