"""Passkeys, and the user handles by which devices know the persons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select

from approvals.core.decision.ceremony import StepUp
from approvals.core.errors import Conflict
from approvals.store.rows.people import HandleRow, PasskeyRow
from approvals.store.seals import add, add_new, change, sound

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlmodel import Session


@dataclass(frozen=True, slots=True)
class Passkey:
    """An enrolled passkey. `credential_id` is base64url, `public_key` a COSE_Key.

    `step_up` is the strongest step-up that it makes; `attestation` is the document that shows it.
    `uses` counts the assertions checked here, `decisions` those of them that decided, and `unseen`
    the signatures that the authenticator counted beyond them.
    """

    credential_id: str
    tenant: str
    person: str
    public_key: bytes
    sign_count: int
    aaguid: bytes
    backup_eligible: bool
    backup_state: bool
    step_up: StepUp
    attestation: str | None
    transports: tuple[str, ...]
    created: int
    ended: int | None = None
    uses: int = 0
    decisions: int = 0
    unseen: int = 0
    last_used: int | None = None


class Passkeys:
    """The passkeys of a transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def handle(self, *, tenant: str, person: str, make: Callable[[], bytes]) -> bytes:
        """The person's WebAuthn user handle, made on first use."""
        row = self._session.get(HandleRow, (tenant, person))
        if row is None:
            # Two browsers may open one invitation at the same moment: whoever comes second waits
            # for the first and takes what that one made.
            add_new(
                self._session, HandleRow, {"tenant": tenant, "person": person, "handle": make()}
            )
            row = self._session.get_one(HandleRow, (tenant, person))
        return row.handle

    def known_handle(self, *, tenant: str, person: str) -> bytes | None:
        """The handle, if the person has one."""
        row = self._session.get(HandleRow, (tenant, person))
        return None if row is None else row.handle

    def handles(self, tenant: str) -> dict[str, bytes]:
        """Everybody's handle."""
        rows = self._session.exec(select(HandleRow).where(HandleRow.tenant == tenant))
        return {row.person: row.handle for row in rows}

    def sound_handles(self, tenant: str) -> dict[str, bytes]:
        """Everybody's handle, without those whose seal does not hold."""
        rows = sound(self._session, select(HandleRow).where(HandleRow.tenant == tenant))
        return {row.person: row.handle for row in rows}

    def enrol(self, passkey: Passkey) -> None:
        """Add a passkey.

        Raises:
            Conflict: its id or its public key is enrolled already (`passkey_known`).
        """
        fields = {name: getattr(passkey, name) for name in Passkey.__slots__} | {
            "state": "active",
            "step_up": passkey.step_up.value,
            "transports": " ".join(passkey.transports),
        }
        try:
            add(self._session, PasskeyRow, fields)
        except IntegrityError as error:
            raise Conflict("this passkey is enrolled already", code="passkey_known") from error

    def active(self, *, tenant: str, person: str | None = None) -> list[Passkey]:
        """Active passkeys of a person, or of everyone, in a stable order."""
        query = select(PasskeyRow).where(PasskeyRow.tenant == tenant, PasskeyRow.state == "active")
        if person is not None:
            query = query.where(PasskeyRow.person == person)
        rows = self._session.exec(
            query.order_by(PasskeyRow.person, col(PasskeyRow.created), PasskeyRow.credential_id)
        )
        return [_passkey(row) for row in rows]

    def former(self, *, tenant: str) -> list[Passkey]:
        """Everyone's passkeys that ended, in a stable order."""
        rows = self._session.exec(
            select(PasskeyRow)
            .where(PasskeyRow.tenant == tenant, PasskeyRow.state == "revoked")
            .order_by(PasskeyRow.person, col(PasskeyRow.created), PasskeyRow.credential_id)
        )
        return [_passkey(row) for row in rows]

    def most_used(self, *, tenant: str, limit: int) -> list[Passkey]:
        """Active passkeys that were used, with most unseen signatures first, then most uses."""
        rows = sound(
            self._session,
            select(PasskeyRow)
            .where(PasskeyRow.tenant == tenant, PasskeyRow.state == "active", PasskeyRow.uses > 0)
            .order_by(
                col(PasskeyRow.unseen).desc(),
                col(PasskeyRow.uses).desc(),
                PasskeyRow.credential_id,
            )
            .limit(limit),
        )
        return [_passkey(row) for row in rows]

    def get(self, credential_id: str) -> Passkey | None:
        """The active passkey with this id, locked so that its counter moves in one order."""
        row = self._session.exec(
            select(PasskeyRow)
            .where(PasskeyRow.credential_id == credential_id, PasskeyRow.state == "active")
            .with_for_update()
            .execution_options(populate_existing=True)
        ).first()
        return None if row is None else _passkey(row)

    def used(
        self,
        credential_id: str,
        *,
        sign_count: int,
        backup_state: bool,
        decided: bool,
        unseen: int,
        now: int,
    ) -> None:
        """Count a checked assertion of a passkey that this transaction has locked.

        `unseen` is by how much the authenticator's counter moved beyond this one assertion.
        """
        row = self._session.get_one(PasskeyRow, credential_id)
        change(
            self._session,
            row,
            sign_count=sign_count,
            backup_state=backup_state,
            uses=row.uses + 1,
            decisions=row.decisions + int(decided),
            unseen=row.unseen + unseen,
            # Of two transactions the one that has the lock later may have begun earlier.
            last_used=max(now, row.last_used or 0),
        )

    def revoke(
        self, *, tenant: str, person: str, now: int, only: str | None = None
    ) -> list[Passkey]:
        """End a person's active passkeys, or `only` one of them, for good; gives those that ended.

        A credential that ended is never active again, and neither its id nor its public key can be
        enrolled again. One whose seal does not hold opens nothing, and can stay as it is.
        """
        query = select(PasskeyRow).where(
            PasskeyRow.tenant == tenant,
            PasskeyRow.person == person,
            PasskeyRow.state == "active",
        )
        if only is not None:
            query = query.where(PasskeyRow.credential_id == only)
        # Locked in one order: spending locks the passkeys of an approval in the same one.
        active = sound(
            self._session,
            query.order_by(PasskeyRow.credential_id)
            .with_for_update()
            .execution_options(populate_existing=True),
        )
        for row in active:
            # Transactions are ordered by their locks, and each has the time of its beginning: what
            # the passkey did before this in order, it did before its end.
            change(self._session, row, state="revoked", ended=max(now, row.last_used or 0))
        return [_passkey(row) for row in active]

    def forget_handle(self, *, tenant: str, person: str) -> None:
        """Forget the user handle: passkeys that a device still holds are nobody's."""
        row = self._session.get(HandleRow, (tenant, person))
        if row is not None:
            self._session.delete(row)
            self._session.flush()

    def holders(self, tenant: str) -> frozenset[str]:
        """Everybody who has a user handle: who may hold a passkey, a browser or a chat account."""
        return frozenset(
            self._session.exec(select(HandleRow.person).where(HandleRow.tenant == tenant))
        )

    def has(self, credential_id: str) -> bool:
        """Whether there is an active passkey with this id. Its row is not read, and not locked."""
        found = select(PasskeyRow.credential_id).where(
            PasskeyRow.credential_id == credential_id, PasskeyRow.state == "active"
        )
        return self._session.exec(found).first() is not None


def _passkey(row: PasskeyRow) -> Passkey:
    return Passkey(
        credential_id=row.credential_id,
        tenant=row.tenant,
        person=row.person,
        public_key=row.public_key,
        sign_count=row.sign_count,
        aaguid=row.aaguid,
        backup_eligible=row.backup_eligible,
        backup_state=row.backup_state,
        step_up=StepUp(row.step_up),
        attestation=row.attestation,
        transports=tuple(row.transports.split()),
        created=row.created,
        ended=row.ended,
        uses=row.uses,
        decisions=row.decisions,
        unseen=row.unseen,
        last_used=row.last_used,
    )
