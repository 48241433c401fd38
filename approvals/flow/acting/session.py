"""Who is signed in, by the database as it is in the transaction that acts for them.

A page or a callback finds out who is there in a transaction of its own. Before the next one begins
they may sign out, be unlinked, lose their passkeys or leave the company. So a `Session` says who
was there, and grants nothing. Each use case calls `verify_present` in its own transaction, and what
is shown to a person or done for them takes the `Present` that this gives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from approvals.core.errors import Unauthenticated
from approvals.flow.knowing.logged import verify_account, verify_session

if TYPE_CHECKING:
    from approvals.flow.service import Service
    from approvals.policy.bundle import Bundle
    from approvals.store import Tx


@dataclass(frozen=True, slots=True)
class Browser:
    """A browser, known by the hash of its token."""

    token_hash: str


@dataclass(frozen=True, slots=True)
class ChatAccount:
    """An account in a chat, known by the ids of its team and its own."""

    channel: str
    team: str
    account: str


@dataclass(frozen=True, slots=True)
class Session:
    """Who was signed in by a browser or a chat account when it was last looked at."""

    tenant: str
    person: str
    name: str
    by: Browser | ChatAccount

    @classmethod
    def of(cls, present: Present, by: Browser | ChatAccount) -> Session:
        """The session of somebody who was found."""
        return cls(present.tenant, present.person, present.name, by)


@dataclass(frozen=True, slots=True)
class Present:
    """A person who is signed in now, in this transaction, and the bundle that has them."""

    tenant: str
    person: str
    name: str
    bundle: Bundle


def find(service: Service, tx: Tx, by: Browser | ChatAccount) -> Present | None:
    """Who is signed in so: nobody once they left people.yaml or lost every passkey.

    Raises:
        Unavailable: the log tells something else of it than the database (`row_altered`).
    """
    owner = _owner(service, tx, by)
    if owner is None:
        return None
    tenant, name = owner
    bundle = service.current_bundle(tx, tenant).bundle
    person = bundle.people.get(name)
    if person is None or not tx.passkeys.active(tenant=tenant, person=name):
        return None
    return Present(tenant, person.id, person.name, bundle)


def verify_present(service: Service, tx: Tx, session: Session) -> Present:
    """The person of a session, if they are still signed in by it in this transaction.

    Call it after the locks that the transaction waits for, since it may end while one waits.

    Raises:
        Unauthenticated: the browser or chat account is nobody's any more, or another's
            (`signed_out`).
        Unavailable: the log tells something else of it than the database (`row_altered`).
    """
    present = find(service, tx, session.by)
    if present is None or (present.tenant, present.person) != (session.tenant, session.person):
        raise Unauthenticated("you are signed out; sign in again", code="signed_out")
    return present


def _owner(service: Service, tx: Tx, by: Browser | ChatAccount) -> tuple[str, str] | None:
    """The tenant and the person that a browser or an account belongs to."""
    if isinstance(by, Browser):
        signed_in = tx.people.signed_in(by.token_hash, now=tx.now)
        if signed_in is None:
            return None
        service.verify_epoch(tx, signed_in.epoch, table="session", key=by.token_hash)
        verify_session(tx, by.token_hash, tenant=signed_in.tenant)
        return signed_in.tenant, signed_in.person
    account = tx.accounts.who(channel=by.channel, team=by.team, account=by.account)
    if account is None:
        return None
    verify_account(tx, account)
    return account.tenant, account.person
