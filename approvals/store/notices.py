"""The outbox: what people are to be told, written with the change that it tells of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlmodel import col, select

from approvals.store.rows import NoticeRow
from approvals.store.statements import insert_new

if TYPE_CHECKING:
    from sqlmodel import Session


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing one person is to be told: `kind` is what, `subject` about which id."""

    id: str
    tenant: str
    kind: str
    person: str
    subject: str
    created: int


class Notices:
    """The outbox of a transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def put(self, notice: Notice) -> None:
        """Add a notice. The same person is told the same thing about the same subject once."""
        values = {name: getattr(notice, name) for name in Notice.__slots__}
        insert_new(self._session, NoticeRow, {"state": "waiting", **values})

    def waiting(self, *, limit: int) -> list[Notice]:
        """The oldest notices that no channel has taken yet."""
        rows = self._session.exec(
            select(NoticeRow)
            .where(NoticeRow.state == "waiting")
            .order_by(col(NoticeRow.created), NoticeRow.id)
            .limit(limit)
        )
        return [
            Notice(row.id, row.tenant, row.kind, row.person, row.subject, row.created)
            for row in rows
        ]
