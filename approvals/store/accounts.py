"""Linked chat accounts, the codes that link them, and callbacks that were taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete
from sqlmodel import col, select

from approvals.store.rows.notices import CallbackRow
from approvals.store.rows.people import AccountRow, LinkCodeRow
from approvals.store.seals import add, add_new, change, sound
from approvals.store.statements import changed, insert_new

if TYPE_CHECKING:
    from sqlmodel import Session


@dataclass(frozen=True, slots=True)
class UsedCode:
    """Whose code was used; `epoch` is the last restore before it was given."""

    tenant: str
    person: str
    epoch: bytes | None


@dataclass(frozen=True, slots=True)
class Account:
    """A chat account and the person it belongs to."""

    channel: str
    team: str
    account: str
    tenant: str
    person: str
    created: int


class Accounts:
    """The chat accounts of a transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def put_code(
        self,
        *,
        code_hash: str,
        tenant: str,
        channel: str,
        person: str,
        expires: int,
        epoch: bytes | None,
    ) -> None:
        """Remember a code; earlier open ones of the person for this channel end."""
        earlier = self._session.exec(
            select(LinkCodeRow)
            .where(
                LinkCodeRow.tenant == tenant,
                LinkCodeRow.channel == channel,
                LinkCodeRow.person == person,
                LinkCodeRow.state == "open",
            )
            .order_by(LinkCodeRow.code_hash)
            .with_for_update()
        ).all()
        change(self._session, *earlier, state="replaced")
        add(
            self._session,
            LinkCodeRow,
            {
                "code_hash": code_hash,
                "tenant": tenant,
                "channel": channel,
                "person": person,
                "state": "open",
                "expires": expires,
                "epoch": epoch,
            },
        )

    def use_code(self, code_hash: str, *, channel: str, now: int) -> UsedCode | None:
        """Use an open code: exactly one caller gets it."""
        row = self._session.exec(
            select(LinkCodeRow)
            .where(
                LinkCodeRow.code_hash == code_hash,
                LinkCodeRow.channel == channel,
                LinkCodeRow.state == "open",
                LinkCodeRow.expires > now,
            )
            .with_for_update()
        ).first()
        if row is None:
            return None
        change(self._session, row, state="used")
        return UsedCode(row.tenant, row.person, row.epoch)

    def link(self, account: Account) -> bool:
        """Bind an account to its person. False if it is bound, or the person has another."""
        return add_new(
            self._session,
            AccountRow,
            {name: getattr(account, name) for name in Account.__slots__},
        )

    def unlink(self, *, tenant: str, channel: str, person: str) -> bool:
        """Forget the person's account. True if there was one."""
        return (
            changed(
                self._session.execute(
                    delete(AccountRow).where(
                        col(AccountRow.tenant) == tenant,
                        col(AccountRow.channel) == channel,
                        col(AccountRow.person) == person,
                    )
                )
            )
            == 1
        )

    def leave(self, *, tenant: str, person: str) -> list[Account]:
        """Forget all accounts and open codes of a person; gives the accounts."""
        # One whose seal does not hold is nobody's: it goes without being told of.
        mine = select(AccountRow).where(AccountRow.tenant == tenant, AccountRow.person == person)
        found = [_account(row) for row in sound(self._session, mine)]
        self._session.execute(
            delete(AccountRow).where(
                col(AccountRow.tenant) == tenant, col(AccountRow.person) == person
            ),
            execution_options={"synchronize_session": "fetch"},
        )
        self.end_codes(tenant=tenant, person=person)
        return found

    def end_codes(self, *, tenant: str, person: str) -> None:
        """End a person's open codes."""
        codes = sound(
            self._session,
            select(LinkCodeRow)
            .where(
                LinkCodeRow.tenant == tenant,
                LinkCodeRow.person == person,
                LinkCodeRow.state == "open",
            )
            .order_by(LinkCodeRow.code_hash)
            .with_for_update(),
        )
        change(self._session, *codes, state="replaced")

    def who(self, *, channel: str, team: str, account: str) -> Account | None:
        """The person of a chat account."""
        row = self._session.get(AccountRow, (channel, team, account))
        return None if row is None else _account(row)

    def of(self, *, tenant: str, channel: str, person: str) -> Account | None:
        """The chat account of a person."""
        row = self._session.exec(
            select(AccountRow).where(
                AccountRow.tenant == tenant,
                AccountRow.channel == channel,
                AccountRow.person == person,
            )
        ).first()
        return None if row is None else _account(row)

    def once(self, digest: str, *, tenant: str, now: int) -> bool:
        """Take a callback: true for the first who does, in whichever process."""
        return insert_new(
            self._session, CallbackRow, {"digest": digest, "tenant": tenant, "created": now}
        )

    def forget_callbacks(self, *, before: int) -> int:
        """Forget callbacks that are too old to be taken again anyway."""
        return changed(
            self._session.execute(delete(CallbackRow).where(col(CallbackRow.created) < before))
        )


def _account(row: AccountRow) -> Account:
    return Account(**{name: getattr(row, name) for name in Account.__slots__})
