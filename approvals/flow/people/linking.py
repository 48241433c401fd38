"""Chat accounts of people: linking and unlinking them.

What holds:
1. An account is linked by a code that its owner got by using a passkey. It is known by the ids of
   team and account, never by a name or an address.
2. An account belongs to one person, and a person has at most one on each channel.
3. A code links once. A newer one, the end of a passkey and a restore end it, and the log tells so.
4. A person is told when an account is linked to them, and when one is not any more.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from approvals.core.decision.occasion import Purpose
from approvals.core.errors import Conflict
from approvals.flow.acting.session import ChatAccount, Session, find, verify_present
from approvals.flow.integrity.gate import require_open
from approvals.flow.knowing.logged import verify_code
from approvals.flow.people import passkeys, proof
from approvals.flow.people.accounts import log_code, log_linked, log_unlinked
from approvals.flow.service import token_hash
from approvals.flow.telling.outbox import NoticeKind, tell
from approvals.store.accounts import Account

if TYPE_CHECKING:
    from approvals.flow.people.challenges import Ceremony
    from approvals.flow.service import Service

CODE_SECONDS = 600
ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
CODE_LENGTH = 12


@dataclass(frozen=True, slots=True)
class LinkCode:
    """A code to type in the chat, told once."""

    code: str
    expires: int


def begin_link(service: Service, session: Session) -> Ceremony:
    """Start linking a chat account: a challenge for a passkey that the person has.

    A stolen session must not be able to link a stranger's account, which could then click.
    """
    return proof.ask(service, session, purpose=Purpose.LINK)


def start_link(
    service: Service, session: Session, channel: str, ceremony_id: str, credential: object
) -> LinkCode:
    """Give a person who used their passkey a code for their chat account; earlier codes end.

    Raises:
        Conflict: the challenge was used, is too old or was somebody else's (`ceremony_used`).
        EvidenceError: the assertion does not hold, or is not by a passkey of theirs.
        Unavailable: the log could not tell of an account that is linked by it (`closed`).
    """
    assertion = passkeys.read_assertion(credential)
    code = "".join(secrets.choice(ALPHABET) for _ in range(CODE_LENGTH))
    with service.store.begin() as tx:
        require_open(service, tx)
        who = proof.check(
            service, tx, session, purpose=Purpose.LINK, ceremony_id=ceremony_id, assertion=assertion
        )
        expires = tx.now + CODE_SECONDS
        tx.accounts.put_code(
            code_hash=token_hash(code),
            tenant=who.tenant,
            channel=channel,
            person=who.person,
            expires=expires,
            epoch=service.epoch(tx),
        )
        log_code(
            tx,
            code_hash=token_hash(code),
            tenant=who.tenant,
            channel=channel,
            person=who.person,
        )
    return LinkCode(code, expires)


def finish_link(service: Service, *, channel: str, team: str, account: str, code: str) -> str:
    """Link the account that typed the code; gives the person it belongs to.

    Raises:
        Conflict: the code is wrong, used or too old (`link_code`), or the account or the person
            is linked already (`account_linked`).
        Unavailable: the log cannot tell of it (`closed`); the code can be used later. Or it tells
            that the code ended, and the database says otherwise (`row_altered`).
    """
    with service.store.begin() as tx:
        require_open(service, tx)
        hashed = token_hash(code.strip().upper())
        found = tx.accounts.use_code(hashed, channel=channel, now=tx.now)
        if found is None:
            raise Conflict("this code is wrong, used or too old", code="link_code")
        tenant, person = found.tenant, found.person
        service.verify_epoch(tx, found.epoch, table="link_code", key=hashed)
        verify_code(tx, hashed, channel=channel, tenant=tenant, person=person)
        bundle = service.current_bundle(tx, tenant).bundle
        if person not in bundle.people:
            raise Conflict("this code is wrong, used or too old", code="link_code")
        linking = Account(channel, team, account, tenant, person, tx.now)
        if not tx.accounts.link(linking):
            raise Conflict("this account, or this person, is linked already", code="account_linked")
        log_linked(tx, linking, code_hash=hashed)
        tell(
            tx,
            bundle,
            NoticeKind.ACCOUNT_LINKED,
            tenant=tenant,
            persons=(person,),
            subject=f"{channel}:{team}:{account}:{tx.now}",
        )
    return person


def begin_unlink(service: Service, session: Session) -> Ceremony:
    """Start forgetting a chat account: a challenge for a passkey that the person has.

    A stolen session must not be able to cut a person off from where they would see its misuse.
    """
    return proof.ask(service, session, purpose=Purpose.UNLINK)


def unlink(
    service: Service, session: Session, channel: str, ceremony_id: str, credential: object
) -> None:
    """Forget the account on a channel of a person who used their passkey.

    Raises:
        Conflict: the challenge was used, is too old or was somebody else's (`ceremony_used`).
        EvidenceError: the assertion does not hold, or is not by a passkey of theirs.
    """
    assertion = passkeys.read_assertion(credential)
    with service.store.begin() as tx:
        who = proof.check(
            service,
            tx,
            session,
            purpose=Purpose.UNLINK,
            ceremony_id=ceremony_id,
            assertion=assertion,
        )
        known = tx.accounts.of(tenant=who.tenant, channel=channel, person=who.person)
        if known is not None and tx.accounts.unlink(
            tenant=who.tenant, channel=channel, person=who.person
        ):
            log_unlinked(tx, who.bundle, known)


def linked(service: Service, session: Session, channel: str) -> Account | None:
    """The person's account on a channel."""
    with service.store.read() as tx:
        who = verify_present(service, tx, session)
        return tx.accounts.of(tenant=who.tenant, channel=channel, person=who.person)


def person_of(service: Service, *, channel: str, team: str, account: str) -> Session | None:
    """Who an account belongs to now, if to anybody; what uses it looks again."""
    known = ChatAccount(channel, team, account)
    with service.store.read() as tx:
        present = find(service, tx, known)
    return None if present is None else Session.of(present, known)
