"""Challenges for browsers: each is given for one purpose, and taken once, before it is too old."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from approvals.core.errors import Conflict
from approvals.flow.service import new_occasion
from approvals.store.people import Ceremony as StoredCeremony

if TYPE_CHECKING:
    from approvals.flow.service import Service
    from approvals.store import Tx

CHALLENGE_BYTES = 32


@dataclass(frozen=True, slots=True)
class Ceremony:
    """A challenge for the browser: `options` go to the WebAuthn call as they are."""

    id: str
    options: dict[str, Any]


def new_challenge() -> bytes:
    """A challenge that is about nothing but the moment."""
    return secrets.token_bytes(CHALLENGE_BYTES)


def give(
    service: Service,
    tx: Tx,
    kind: str,
    *,
    challenge: bytes,
    tenant: str,
    person: str | None = None,
    subject: str | None = None,
    statement: str | None = None,
) -> str:
    """Remember a challenge that is being given out; gives its id."""
    ceremony_id = f"cer_{new_occasion()}"
    tx.people.open_ceremony(
        StoredCeremony(
            id=ceremony_id,
            tenant=tenant,
            kind=kind,
            person=person,
            subject=subject,
            challenge=challenge,
            statement=statement,
            expires=tx.now + service.settings.statement_life,
        )
    )
    return ceremony_id


def take(tx: Tx, ceremony_id: str, kind: str) -> StoredCeremony:
    """Take a challenge that was given for this purpose.

    Raises:
        Conflict: it was taken, is too old, or was given for something else (`ceremony_used`).
    """
    taken = tx.people.take_ceremony(ceremony_id, kind=kind, now=tx.now)
    if taken is None:
        raise stale()
    return taken


def stale() -> Conflict:
    """A challenge that cannot be answered any more."""
    return Conflict("this challenge was used or is too old; start again", code="ceremony_used")
