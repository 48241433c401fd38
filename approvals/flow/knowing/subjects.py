"""The names under which people and their sessions have events in the log that everybody can read.

A person's events share a subject, so that none of them can be left out unseen. It is a digest of
their WebAuthn user handle, 32 random bytes that only their device and this database know: the log
tells that somebody enrolled two passkeys, and not who. A session is a subject of its own, so that
the log does not tell how often anybody signs in.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from approvals.core import b64, canonical
from approvals.core.history.events import PERSON, SESSION

if TYPE_CHECKING:
    from approvals.store import Tx

HANDLE_BYTES = 32


def handle(tx: Tx, *, tenant: str, person: str) -> bytes:
    """The person's WebAuthn user handle, made on first use."""
    return tx.passkeys.handle(
        tenant=tenant, person=person, make=lambda: secrets.token_bytes(HANDLE_BYTES)
    )


def person_subject(tx: Tx, *, tenant: str, person: str) -> str:
    """The subject of the person's events."""
    return subject_of(handle(tx, tenant=tenant, person=person))


def subject_of(handle: bytes) -> str:
    """The subject of the events of whoever has this handle."""
    return PERSON + canonical.digest(["assent/person/1", b64.encode(handle)])


def session_subject(token_hash: str) -> str:
    """The subject of a session's events."""
    return SESSION + canonical.digest(["assent/session/1", token_hash])
