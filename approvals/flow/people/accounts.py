"""What tells whose chat account is whose, written in the transaction that changes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from approvals import log
from approvals.core.history.events import AccountLinked, AccountUnlinked, CodeGiven
from approvals.flow.knowing.subjects import person_subject
from approvals.flow.telling.outbox import NoticeKind, tell

if TYPE_CHECKING:
    from approvals.policy.bundle import Bundle
    from approvals.store import Tx
    from approvals.store.accounts import Account


def log_code(tx: Tx, *, code_hash: str, tenant: str, channel: str, person: str) -> None:
    """Log that a person was given the code with this hash; those before it end."""
    log.append(
        tx,
        CodeGiven(
            time=tx.now,
            tenant=tenant,
            subject=person_subject(tx, tenant=tenant, person=person),
            person=person,
            channel=channel,
            code=code_hash,
        ),
    )


def log_linked(tx: Tx, account: Account, *, code_hash: str) -> None:
    """Log that the account became its person's, by the code with this hash."""
    log.append(
        tx,
        AccountLinked(
            time=tx.now,
            tenant=account.tenant,
            subject=person_subject(tx, tenant=account.tenant, person=account.person),
            person=account.person,
            channel=account.channel,
            team=account.team,
            account=account.account,
            code=code_hash,
        ),
    )


def log_unlinked(tx: Tx, bundle: Bundle, account: Account) -> None:
    """Log that the account is not its person's any more, and tell a person of the bundle."""
    log.append(
        tx,
        AccountUnlinked(
            time=tx.now,
            tenant=account.tenant,
            subject=person_subject(tx, tenant=account.tenant, person=account.person),
            person=account.person,
            channel=account.channel,
            team=account.team,
            account=account.account,
        ),
    )
    tell(
        tx,
        bundle,
        NoticeKind.ACCOUNT_UNLINKED,
        tenant=account.tenant,
        persons=(account.person,),
        subject=f"{account.channel}:{account.team}:{account.account}:{tx.now}",
    )
