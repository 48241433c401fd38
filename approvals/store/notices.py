"""The outbox: what people are to be told, written with the change that it tells of.

A row is one notice to one person on one channel. Its `revision` counts what there is to tell, and a
delivery settles the revision that it rendered: changes that come meanwhile make it due again, and
several that come before it is sent are told at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import and_, case, func, update
from sqlalchemy import select as select_columns
from sqlmodel import col, or_, select

from approvals.store.rows.notices import NoticeRow
from approvals.store.statements import changed, insert_new

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlmodel import Session

WAITING = "waiting"
GIVEN_UP = "given_up"
NEVER: Final = 2**62
"""The `next_try` of a notice of which nothing is untold."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing one person is to be told on one channel: `kind` is what, `subject` about which id.

    `reference` is what the channel gave when it sent: what it needs to change or follow it up.
    `due` is since when there is something that it has not been told.
    """

    id: str
    tenant: str
    kind: str
    person: str
    channel: str
    subject: str
    agent: str | None
    enforcer: str | None
    revision: int
    sent: int
    attempts: int
    reference: str | None
    created: int
    due: int


@dataclass(frozen=True, slots=True)
class Told:
    """How many notices a person got: in all, through one enforcer, and of those by one agent."""

    in_all: int
    of_enforcer: int
    of_agent: int


class Notices:
    """The outbox of a transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def put(self, notice: Notice) -> bool:
        """Add a notice unless it is there: told once a person, channel, kind and subject."""
        values = {name: getattr(notice, name) for name in Notice.__slots__}
        return insert_new(
            self._session,
            NoticeRow,
            {
                **values,
                "state": WAITING,
                "next_try": notice.created,
                "lease": None,
                "lease_until": 0,
                "error": None,
            },
        )

    def told_since(
        self, *, tenant: str, person: str, since: int, agent: str | None, enforcer: str | None
    ) -> Told:
        """How many notices of requests the person got since then, and because of whom.

        The cost is that of those since then, which the caps bound.
        """
        of_enforcer = col(NoticeRow.enforcer) == enforcer
        of_agent = and_(of_enforcer, col(NoticeRow.agent) == agent)
        found = self._session.execute(
            select_columns(
                func.count(), func.count(case((of_enforcer, 1))), func.count(case((of_agent, 1)))
            ).where(
                col(NoticeRow.tenant) == tenant,
                col(NoticeRow.person) == person,
                col(NoticeRow.created) > since,
                col(NoticeRow.agent).is_not(None),
            )
        ).one()
        return Told(*found)

    def stir(self, *, tenant: str, kind: str, subject: str, now: int) -> int:
        """There is more to tell about the subject; gives how many notices are due again."""
        due = col(NoticeRow.due)
        return changed(
            self._session.execute(
                update(NoticeRow)
                .where(
                    col(NoticeRow.tenant) == tenant,
                    col(NoticeRow.kind) == kind,
                    col(NoticeRow.subject) == subject,
                    col(NoticeRow.state) == WAITING,
                )
                .values(
                    revision=NoticeRow.revision + 1,
                    next_try=now,
                    attempts=0,
                    due=case((col(NoticeRow.revision) == col(NoticeRow.sent), now), else_=due),
                )
            )
        )

    def claim(self, *, channel: str, lease: str, now: int, until: int, limit: int) -> list[Notice]:
        """Take due notices for a worker. Nobody else gets them before `until`.

        Rows that another worker is about to take are passed over, not waited for.
        """
        due = (
            select(NoticeRow.id)
            .where(
                on_channel(channel),
                NoticeRow.state == WAITING,
                col(NoticeRow.revision) > col(NoticeRow.sent),
                col(NoticeRow.next_try) <= now,
                or_(col(NoticeRow.lease).is_(None), col(NoticeRow.lease_until) <= now),
            )
            .order_by(col(NoticeRow.next_try), NoticeRow.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        ids = list(self._session.exec(due))
        if not ids:
            return []
        self._session.execute(
            update(NoticeRow)
            .where(col(NoticeRow.id).in_(ids))
            .values(lease=lease, lease_until=until)
        )
        rows = self._session.exec(
            select(NoticeRow)
            .where(col(NoticeRow.id).in_(ids))
            .order_by(col(NoticeRow.next_try), NoticeRow.id)
            .execution_options(populate_existing=True)
        )
        return [_notice(row) for row in rows]

    def settle(self, notice_id: str, *, lease: str, sent: int, reference: str | None) -> bool:
        """The worker delivered that revision. False if its lease had gone to another."""
        # Nothing is due any more, unless more came meanwhile. Or else all that was ever delivered
        # would be looked at again and again.
        more = col(NoticeRow.revision) > sent
        values: dict[str, object] = {
            "sent": sent,
            "next_try": case((more, col(NoticeRow.next_try)), else_=NEVER),
            "attempts": 0,
            "error": None,
            "lease": None,
            "lease_until": 0,
        }
        if reference is not None:
            values["reference"] = reference
        return self._held(notice_id, lease, values)

    def put_off(
        self, notice_id: str, *, lease: str, error: str, attempts: int, next_try: int
    ) -> bool:
        """It could not be delivered now: try again then."""
        return self._held(
            notice_id,
            lease,
            {
                "error": error,
                "attempts": attempts,
                "next_try": next_try,
                "lease": None,
                "lease_until": 0,
            },
        )

    def give_up(self, notice_id: str, *, lease: str, error: str) -> bool:
        """It can never be delivered; the row stays, to be seen."""
        return self._held(
            notice_id,
            lease,
            {"state": GIVEN_UP, "error": error, "lease": None, "lease_until": 0},
        )

    def of(self, *, tenant: str, subject: str) -> list[Notice]:
        """Every notice about a subject."""
        rows = self._session.exec(
            select(NoticeRow)
            .where(NoticeRow.tenant == tenant, NoticeRow.subject == subject)
            .order_by(col(NoticeRow.created), NoticeRow.id)
        )
        return [_notice(row) for row in rows]

    def _held(self, notice_id: str, lease: str, values: dict[str, object]) -> bool:
        return (
            changed(
                self._session.execute(
                    update(NoticeRow)
                    .where(col(NoticeRow.id) == notice_id, col(NoticeRow.lease) == lease)
                    .values(**values)
                )
            )
            == 1
        )


def on_channel(channel: str) -> ColumnElement[bool]:
    """The channel itself, and its parts: `webhook` has `webhook:NAME`."""
    return or_(col(NoticeRow.channel) == channel, col(NoticeRow.channel).startswith(f"{channel}:"))


def _notice(row: NoticeRow) -> Notice:
    return Notice(**{name: getattr(row, name) for name in Notice.__slots__})
