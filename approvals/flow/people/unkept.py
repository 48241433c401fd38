"""Challenges for a sign-in, of which nothing is kept until a passkey has answered.

Whoever opens the sign-in page is a stranger. So the challenge is not written down: the browser
holds it, under a MAC of a key that is not in the database, and brings it back.

What holds: it is taken by exactly one answer, in whichever process, because the transaction of the
answer inserts the row of that id, and the log tells of that id for ever; it is taken before it is
too old; it is good for a sign-in at this address and nothing else; and a restore, which may take
back that it was answered, ends it: the MAC covers the epoch.
"""

from __future__ import annotations

import hmac
import re
import secrets
from typing import TYPE_CHECKING, Final

from approvals.core import b64, canonical
from approvals.core.decision.occasion import Occasion, Purpose
from approvals.flow.people.challenges import NONCE_BYTES, Given, stale
from approvals.flow.service import DEFAULT_TENANT, new_occasion
from approvals.store.people import Ceremony as StoredCeremony

if TYPE_CHECKING:
    from approvals.flow.service import Service
    from approvals.store import Tx

_TAG: Final = "assent/unkept-challenge/1"
_FORM: Final = re.compile(
    r"(cer_[a-z2-7]{26})\.([A-Za-z0-9_-]{43})\.(0|[1-9][0-9]{0,15})\.([A-Za-z0-9_-]{43})", re.ASCII
)


def give(service: Service, *, now: int) -> Given:
    """Make a challenge for a sign-in; its id holds all that is known of it."""
    name, nonce = f"cer_{new_occasion()}", b64.encode(secrets.token_bytes(NONCE_BYTES))
    occasion = _occasion(service, nonce, now)
    mac = _mac(service, name, occasion, service.closings.last_epoch)
    told = f"{name}.{nonce}.{now}.{mac}"
    return Given(told, occasion.challenge(), _text(occasion))


def read(service: Service, told: str) -> StoredCeremony:
    """Read a challenge that comes back; nothing is asked of the database.

    Raises:
        Conflict: this service did not make it (`ceremony_used`).
    """
    parts = _FORM.fullmatch(told)
    if parts is None:
        raise stale(Purpose.SIGN_IN)
    name, nonce, made, mac = parts.groups()
    occasion = _occasion(service, nonce, int(made))
    epoch = service.closings.last_epoch
    if not hmac.compare_digest(mac, _mac(service, name, occasion, epoch)):
        raise stale(Purpose.SIGN_IN)
    return StoredCeremony(
        id=name,
        tenant=DEFAULT_TENANT,
        kind=Purpose.SIGN_IN.value,
        person=None,
        subject=None,
        challenge=occasion.challenge(),
        statement=_text(occasion),
        expires=occasion.exp,
        epoch=epoch,
    )


def take(service: Service, tx: Tx, given: StoredCeremony) -> None:
    """Take a challenge that was read: true for one transaction only.

    No bundle is activated until the transaction ends: whoever answers is in the current one or not.

    Raises:
        Conflict: it was taken, is too old, or was made before a restore (`ceremony_used`).
    """
    tx.bundles.hold(given.tenant)
    if given.epoch != service.epoch(tx):
        raise stale(Purpose.SIGN_IN)
    if given.expires <= tx.now or not tx.people.use_unkept(given):
        raise stale(Purpose.SIGN_IN)


def _occasion(service: Service, nonce: str, made: int) -> Occasion:
    return Occasion(
        purpose=Purpose.SIGN_IN,
        origin=service.settings.url,
        person=None,
        nonce=nonce,
        iat=made,
        exp=made + service.settings.statement_life,
    )


def _text(occasion: Occasion) -> str:
    return canonical.encode(occasion.document()).decode()


def _mac(service: Service, name: str, occasion: Occasion, epoch: bytes | None) -> str:
    text = "\0".join((_TAG, name, b64.encode(epoch or b""), _text(occasion)))
    return b64.encode(service.keys.seal(text.encode()))
