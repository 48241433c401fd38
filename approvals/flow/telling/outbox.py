"""Telling people: notices are put into the outbox with the change that they tell of.

What holds:
1. A notice commits with its cause or not at all.
2. A person gets one notice of one thing on one channel.
3. Each person's notices of requests are capped. A request beyond a cap waits in their inbox.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from approvals.flow.service import new_occasion
from approvals.store.notices import Notice

if TYPE_CHECKING:
    from collections.abc import Iterable

    from approvals.config import Settings
    from approvals.policy.bundle import Bundle
    from approvals.store import Tx

OUTBOX = "outbox"
"""The topic that wakes whoever delivers."""

HOUR = 3600


class NoticeKind(StrEnum):
    """What people are told. `REQUEST` is one living notice, from the asking to the end."""

    REQUEST = "request"
    REMINDER = "reminder"
    DIGEST = "digest"
    PASSKEY_ENROLLED = "passkey.enrolled"
    PASSKEY_REVOKED = "passkey.revoked"
    ACCOUNT_LINKED = "account.linked"
    ACCOUNT_UNLINKED = "account.unlinked"


@dataclass(frozen=True, slots=True)
class Caps:
    """How many notices of requests one person gets in an hour.

    Because of one agent through one enforcer, because of one enforcer, and in all.
    """

    agent_hour: int
    enforcer_hour: int
    hour: int

    @classmethod
    def of(cls, settings: Settings) -> Caps:
        """The caps that are set."""
        return cls(
            settings.notice_cap_agent_hour,
            settings.notice_cap_enforcer_hour,
            settings.notice_cap_hour,
        )


def tell(
    tx: Tx,
    bundle: Bundle,
    kind: NoticeKind,
    *,
    tenant: str,
    persons: Iterable[str],
    subject: str,
    agent: str | None = None,
    enforcer: str | None = None,
    caps: Caps | None = None,
) -> int:
    """Put a notice for each person and each of their channels into the outbox; gives how many.

    `agent` and `enforcer` are whose request it is about: they are counted against `caps`.
    """
    told = 0
    for name in persons:
        person = bundle.people.get(name)
        if person is None:
            continue
        for channel in person.channels:
            if caps is not None and _capped(
                tx, caps, tenant=tenant, person=name, agent=agent, enforcer=enforcer
            ):
                break
            told += tx.notices.put(
                Notice(
                    id=f"ntc_{new_occasion()}",
                    tenant=tenant,
                    kind=kind.value,
                    person=name,
                    channel=channel,
                    subject=subject,
                    agent=agent,
                    enforcer=enforcer,
                    revision=1,
                    sent=0,
                    attempts=0,
                    reference=None,
                    created=tx.now,
                    due=tx.now,
                )
            )
    if told:
        tx.announce(OUTBOX)
    return told


def stir(tx: Tx, *, tenant: str, subject: str) -> None:
    """There is more to tell about a request: its notices are due again."""
    if tx.notices.stir(tenant=tenant, kind=NoticeKind.REQUEST.value, subject=subject, now=tx.now):
        tx.announce(OUTBOX)


def _capped(
    tx: Tx, caps: Caps, *, tenant: str, person: str, agent: str | None, enforcer: str | None
) -> bool:
    told = tx.notices.told_since(
        tenant=tenant, person=person, since=tx.now - HOUR, agent=agent, enforcer=enforcer
    )
    return (
        told.in_all >= caps.hour
        or told.of_enforcer >= caps.enforcer_hour
        or told.of_agent >= caps.agent_hour
    )
