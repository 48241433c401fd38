"""Telling people: a notice is put into the outbox with the change that it tells of.

A channel takes waiting notices and delivers them after the transaction; none can fail a request.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from approvals.flow.service import new_occasion
from approvals.store.notices import Notice

if TYPE_CHECKING:
    from collections.abc import Iterable

    from approvals.store import Tx


class NoticeKind(StrEnum):
    """What people are told."""

    REQUEST_OPENED = "request.opened"
    REQUEST_ENDED = "request.ended"
    PASSKEY_ENROLLED = "passkey.enrolled"


class Channel(Protocol):
    """A way to a person: Slack, mail, a webhook."""

    name: str

    def deliver(self, notice: Notice) -> None:
        """Deliver a notice, at least once. Raises when it must be tried again."""


def tell(tx: Tx, kind: NoticeKind, *, tenant: str, persons: Iterable[str], subject: str) -> None:
    """Put one notice a person into the outbox."""
    for person in persons:
        tx.notices.put(
            Notice(
                id=f"ntc_{new_occasion()}",
                tenant=tenant,
                kind=kind.value,
                person=person,
                subject=subject,
                created=tx.now,
            )
        )
