"""Challenges for browsers: each is given for one purpose, and taken once, before it is too old.

What is signed is the digest of a document that names the purpose. The browser is given the document
with the challenge, and the page's script computes the digest again before it asks the passkey.

The browser answers with the id that it was given, which is a secret: the database has its hash. So
whoever reads a challenge there cannot answer it.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from approvals.core import b64, canonical
from approvals.core.decision import ceremony
from approvals.core.decision.occasion import Occasion, Purpose
from approvals.core.errors import Conflict
from approvals.core.history.events import USE
from approvals.flow.service import new_occasion, token_hash
from approvals.store.people import Ceremony as StoredCeremony

if TYPE_CHECKING:
    from approvals.core.decision.ceremony import Statement
    from approvals.flow.service import Service
    from approvals.store import Tx

NONCE_BYTES = 32


@dataclass(frozen=True, slots=True)
class Given:
    """A challenge that was remembered, and the text of the document that it is the digest of."""

    id: str
    challenge: bytes
    statement: str

    def to_browser(self, options: dict[str, Any]) -> Ceremony:
        """With the options for the WebAuthn call."""
        return Ceremony(self.id, options, self.statement)


@dataclass(frozen=True, slots=True)
class Ceremony:
    """A challenge for the browser: `options` go to the WebAuthn call as they are."""

    id: str
    options: dict[str, Any]
    statement: str

    def document(self) -> dict[str, Any]:
        """What is sent."""
        return {"ceremony": self.id, "statement": self.statement, "options": self.options}


def give(
    service: Service,
    tx: Tx,
    purpose: Purpose,
    *,
    tenant: str,
    person: str | None = None,
    subject: str | None = None,
    after: bytes | None = None,
) -> Given:
    """Make and remember a challenge that decides nothing.

    `after` is the last of the person's events until now, where the challenge enrols a passkey.
    """
    occasion = Occasion(
        purpose=purpose,
        origin=service.settings.url,
        person=person,
        nonce=b64.encode(secrets.token_bytes(NONCE_BYTES)),
        iat=tx.now,
        exp=tx.now + service.settings.statement_life,
    )
    text = canonical.encode(occasion.document()).decode()
    return _remember(
        service,
        tx,
        purpose,
        Given(f"cer_{new_occasion()}", occasion.challenge(), text),
        tenant=tenant,
        person=person,
        subject=subject,
        expires=occasion.exp,
        after=after,
    )


def give_decision(service: Service, tx: Tx, statement: Statement, *, tenant: str) -> Given:
    """Remember the challenge of a decision that somebody is about to sign."""
    text = canonical.encode(statement.document()).decode()
    return _remember(
        service,
        tx,
        Purpose.DECIDE,
        Given(f"cer_{new_occasion()}", ceremony.challenge(statement), text),
        tenant=tenant,
        person=statement.approver,
        subject=statement.request,
        expires=statement.exp,
    )


def _remember(
    service: Service,
    tx: Tx,
    purpose: Purpose,
    given: Given,
    *,
    tenant: str,
    person: str | None,
    subject: str | None,
    expires: int,
    after: bytes | None = None,
) -> Given:
    tx.people.open_ceremony(
        StoredCeremony(
            id=stored_id(given.id),
            tenant=tenant,
            kind=purpose.value,
            person=person,
            subject=subject,
            challenge=given.challenge,
            statement=given.statement,
            expires=expires,
            epoch=service.epoch(tx),
            after=after,
        )
    )
    return given


def stored_id(told: str) -> str:
    """By which id a challenge is stored and logged, of the id that its browser was told."""
    return USE + token_hash(told)


def take(service: Service, tx: Tx, ceremony_id: str, purpose: Purpose) -> StoredCeremony:
    """Take a challenge that was given for this purpose.

    No bundle is activated until the transaction ends: whoever answers is in the current one or not.

    Raises:
        Conflict: it was taken, is too old, or was given for something else (`ceremony_used`, of a
            decision `statement_used`).
        Unavailable: a restore ended it, and the database says otherwise (`row_altered`).
    """
    # Before the challenge is locked: an activation ends the challenges of who leaves.
    stored = stored_id(ceremony_id)
    if (tenant := tx.people.tenant_of_ceremony(stored)) is not None:
        tx.bundles.hold(tenant)
    taken = tx.people.take_ceremony(stored, kind=purpose.value, now=tx.now)
    if taken is None:
        raise stale(purpose)
    service.verify_epoch(tx, taken.epoch, table="ceremony", key=stored)
    return taken


def stale(purpose: Purpose) -> Conflict:
    """A challenge that cannot be answered any more."""
    if purpose is Purpose.DECIDE:
        return Conflict("this statement was used or is too old", code="statement_used")
    return Conflict("this challenge was used or is too old; start again", code="ceremony_used")
