"""Invitations, ceremonies and signed-in browsers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete
from sqlmodel import col, select

from approvals.store.rows.people import CeremonyRow, InvitationRow, LinkCodeRow, SessionRow
from approvals.store.seals import add, add_new, change, sound

if TYPE_CHECKING:
    from sqlmodel import Session


# The session holds none of the rows that are deleted, so it need not look for them.
_UNSEEN = {"synchronize_session": False}


@dataclass(frozen=True, slots=True)
class Invitation:
    """An invitation as it stands: `state` is open, used or replaced."""

    tenant: str
    person: str
    replaces: bool
    state: str
    expires: int


@dataclass(frozen=True, slots=True)
class Ceremony:
    """A challenge that was given out, and what for; `statement` is what it is the digest of.

    `after` is the last of its person's events before it, where it enrols a passkey. `epoch` is the
    last restore before it.
    """

    id: str
    tenant: str
    kind: str
    person: str | None
    subject: str | None
    challenge: bytes
    statement: str
    expires: int
    epoch: bytes | None
    after: bytes | None = None


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A signed-in browser; `epoch` is the last restore before it signed in."""

    tenant: str
    person: str
    signed_in: int
    expires: int
    epoch: bytes | None


class People:
    """The persons' side of a transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def end_access(self, *, tenant: str, person: str) -> list[str]:
        """End a person's signed-in browsers and open challenges; gives the browsers' hashes."""
        given = sound(
            self._session,
            select(CeremonyRow)
            .where(
                CeremonyRow.tenant == tenant,
                CeremonyRow.person == person,
                CeremonyRow.state == "open",
            )
            .order_by(CeremonyRow.id)
            .with_for_update()
            .execution_options(populate_existing=True),
        )
        change(self._session, *given, state="used")
        ended = self._session.execute(
            delete(SessionRow)
            .where(col(SessionRow.tenant) == tenant, col(SessionRow.person) == person)
            .returning(col(SessionRow.token_hash)),
            execution_options=_UNSEEN,
        )
        return sorted(ended.scalars())

    def end_invitations(
        self, *, tenant: str | None = None, person: str | None = None
    ) -> list[tuple[str, str, str]]:
        """End open invitations, all or a person's; gives (tenant, person, token's hash) of each."""
        # One whose seal does not hold opens nothing, so it can stay as it is.
        earlier = sound(
            self._session,
            select(InvitationRow)
            .where(
                InvitationRow.state == "open",
                *([] if tenant is None else [InvitationRow.tenant == tenant]),
                *([] if person is None else [InvitationRow.person == person]),
            )
            .order_by(InvitationRow.token_hash)
            .with_for_update()
            .execution_options(populate_existing=True),
        )
        ended = [(row.tenant, row.person, row.token_hash) for row in earlier]
        change(self._session, *earlier, state="replaced")
        return ended

    def invite(
        self,
        *,
        token_hash: str,
        tenant: str,
        person: str,
        replaces: bool,
        now: int,
        expires: int,
    ) -> None:
        """Add an invitation; earlier open ones of the person end."""
        self.end_invitations(tenant=tenant, person=person)
        values = {
            "token_hash": token_hash,
            "tenant": tenant,
            "person": person,
            "replaces": replaces,
            "state": "open",
            "created": now,
            "expires": expires,
        }
        add(self._session, InvitationRow, values)

    def invitation(self, token_hash: str) -> Invitation | None:
        """The invitation with this token's hash."""
        row = self._session.get(InvitationRow, token_hash)
        if row is None:
            return None
        return Invitation(row.tenant, row.person, row.replaces, row.state, row.expires)

    def use_invitation(self, token_hash: str, *, now: int) -> bool:
        """Use an open invitation that has not expired: true for exactly one caller."""
        row = self._session.exec(
            select(InvitationRow)
            .where(
                InvitationRow.token_hash == token_hash,
                InvitationRow.state == "open",
                InvitationRow.expires > now,
            )
            .with_for_update()
        ).first()
        if row is None:
            return False
        change(self._session, row, state="used")
        return True

    def open_ceremony(self, ceremony: Ceremony) -> None:
        """Remember a challenge that is being given out."""
        add(self._session, CeremonyRow, {"state": "open", **_fields(ceremony)})

    def use_unkept(self, ceremony: Ceremony) -> bool:
        """Take a challenge that was not remembered: true for exactly one caller."""
        return add_new(self._session, CeremonyRow, {"state": "used", **_fields(ceremony)})

    def tenant_of_ceremony(self, ceremony_id: str) -> str | None:
        """The tenant in which a challenge was given. It never changes."""
        return self._session.exec(
            select(CeremonyRow.tenant).where(CeremonyRow.id == ceremony_id)
        ).first()

    def take_ceremony(self, ceremony_id: str, *, kind: str, now: int) -> Ceremony | None:
        """Take a challenge: the one who gets it is the only one, and only before it expires."""
        row = self._session.exec(
            select(CeremonyRow)
            .where(
                CeremonyRow.id == ceremony_id,
                CeremonyRow.kind == kind,
                CeremonyRow.state == "open",
                CeremonyRow.expires > now,
            )
            .with_for_update()
        ).first()
        if row is None:
            return None
        change(self._session, row, state="used")
        return Ceremony(
            id=row.id,
            tenant=row.tenant,
            kind=row.kind,
            person=row.person,
            subject=row.subject,
            challenge=row.challenge,
            statement=row.statement,
            expires=row.expires,
            epoch=row.epoch,
            after=row.after,
        )

    def outlived(self, *, now: int) -> bool:
        """Whether `forget_outlived` would find anything."""
        return any(
            self._session.exec(select(row.expires).where(row.expires <= now).limit(1)).first()
            is not None
            for row in (CeremonyRow, SessionRow, LinkCodeRow)
        )

    def forget_outlived(self, *, now: int, limit: int) -> None:
        """Delete challenges, browsers and codes whose time has passed, a few at a time."""
        for row, key in (
            (CeremonyRow, CeremonyRow.id),
            (SessionRow, SessionRow.token_hash),
            (LinkCodeRow, LinkCodeRow.code_hash),
        ):
            over = select(key).where(row.expires <= now).limit(limit)
            self._session.execute(delete(row).where(col(key).in_(over)), execution_options=_UNSEEN)

    def sign_in(
        self,
        *,
        token_hash: str,
        tenant: str,
        person: str,
        now: int,
        expires: int,
        epoch: bytes | None,
    ) -> None:
        """Remember a signed-in browser."""
        values = {
            "token_hash": token_hash,
            "tenant": tenant,
            "person": person,
            "signed_in": now,
            "expires": expires,
            "epoch": epoch,
        }
        add(self._session, SessionRow, values)

    def signed_in(self, token_hash: str, *, now: int) -> SignedIn | None:
        """The browser's session, unless it has expired."""
        row = self._session.get(SessionRow, token_hash)
        if row is None or row.expires <= now:
            return None
        return _signed_in(row)

    def sign_out(self, token_hash: str) -> SignedIn | None:
        """Forget a browser; gives who was signed in with it."""
        row = self._session.get(SessionRow, token_hash)
        if row is None:
            return None
        self._session.delete(row)
        self._session.flush()
        return _signed_in(row)


def _signed_in(row: SessionRow) -> SignedIn:
    return SignedIn(row.tenant, row.person, row.signed_in, row.expires, row.epoch)


def _fields(ceremony: Ceremony) -> dict[str, Any]:
    return {name: getattr(ceremony, name) for name in Ceremony.__slots__}
