"""How much access each person has, counted for an operator who decides whether it may stay.

Counts alone are read, and no seal is checked: in a database that was put back, what does not hold
is shown too.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import func, select, true
from sqlmodel import col

from approvals.store.rows.people import AccountRow, InvitationRow, PasskeyRow, SessionRow

if TYPE_CHECKING:
    from sqlmodel import Session


@dataclass(frozen=True, slots=True)
class Held:
    """What one person has: active passkeys, the newest enrolled when, and what is open or linked.

    `browsers` are those that are signed in now, `accounts` linked chat accounts.
    """

    tenant: str
    person: str
    passkeys: int
    newest: int | None
    browsers: int
    invitations: int
    accounts: int


class Holdings:
    """Everybody's access, as a transaction sees it."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def all(self, *, now: int) -> tuple[Held, ...]:
        """Everybody who has any access, by tenant and id."""
        found: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
        for name, row, usable, value in (
            ("passkeys", PasskeyRow, col(PasskeyRow.state) == "active", func.count()),
            ("newest", PasskeyRow, col(PasskeyRow.state) == "active", func.max(PasskeyRow.created)),
            ("browsers", SessionRow, col(SessionRow.expires) > now, func.count()),
            (
                "invitations",
                InvitationRow,
                (col(InvitationRow.state) == "open") & (col(InvitationRow.expires) > now),
                func.count(),
            ),
            ("accounts", AccountRow, true(), func.count()),
        ):
            owner = col(row.tenant), col(row.person)
            counted = select(*owner, value).where(usable).group_by(*owner)
            for tenant, person, number in self._session.connection().execute(counted):
                found[tenant, person][name] = number
        return tuple(
            Held(
                tenant=tenant,
                person=person,
                passkeys=has.get("passkeys", 0),
                newest=has.get("newest"),
                browsers=has.get("browsers", 0),
                invitations=has.get("invitations", 0),
                accounts=has.get("accounts", 0),
            )
            for (tenant, person), has in sorted(found.items())
        )
