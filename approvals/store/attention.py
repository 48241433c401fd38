"""What is asked of people's attention: what waits, who has looked, who is told next, who voted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson
from sqlalchemy import and_, case, func, text, update
from sqlalchemy import select as select_columns
from sqlmodel import col, or_, select

from approvals.core.decision.ceremony import Decision
from approvals.core.requests import State
from approvals.store.rows.calls import RequestRow, SeatRow, VoteRow
from approvals.store.seals import change

if TYPE_CHECKING:
    from sqlmodel import Session

AGENT_LOCK = 7_234_003  # the advisory locks of agents on PostgreSQL: arbitrary and fixed


@dataclass(frozen=True, slots=True)
class Open:
    """How many requests wait for people, and when at the latest there will be one less."""

    count: int
    until: int


@dataclass(frozen=True, slots=True)
class LastDenied:
    """When a person denied a call, in which request, and which enforcer's that is."""

    time: int
    request: str
    enforcer: str


@dataclass(frozen=True, slots=True)
class CastVote:
    """One vote as figures need it: how many seconds after the request was opened it came.

    `rules` are those for which the person was asked.
    """

    person: str
    approves: bool
    seconds: int
    rules: tuple[str, ...]


class Attention:
    """The attention that the requests of a transaction ask for."""

    def __init__(self, session: Session) -> None:
        self._session = session

    # -- limits -----------------------------------------------------------------------------

    def hold(self, *, tenant: str, agent: str) -> None:
        """Lock the agent: nobody else decides a call of it by a count before this one ends.

        Without it two transactions count the same calls or open requests, and both add one more. On
        SQLite only one transaction writes at a time anyway.
        """
        if self._session.get_bind().dialect.name == "postgresql":
            self._session.execute(
                text("SELECT pg_advisory_xact_lock(:space, hashtext(:name))"),
                {"space": AGENT_LOCK, "name": f"{tenant}\n{agent}"},
            )

    def open_of(
        self, *, tenant: str, enforcer: str, agent: str, target: str, tool: str, now: int
    ) -> tuple[Open, Open]:
        """What of the agent waits for people now through this enforcer: in all, for this tool."""
        this = and_(col(RequestRow.target) == target, col(RequestRow.tool) == tool)
        expires = col(RequestRow.expires)
        in_all, soonest, of_tool, soonest_of_tool = self._session.execute(
            select_columns(
                func.count(),
                func.min(expires),
                func.count(case((this, 1))),
                func.min(case((this, expires))),
            ).where(
                col(RequestRow.tenant) == tenant,
                col(RequestRow.enforcer) == enforcer,
                col(RequestRow.agent) == agent,
                col(RequestRow.state) == State.PENDING.value,
                expires > now,
            )
        ).one()
        return Open(in_all, soonest or now), Open(of_tool, soonest_of_tool or now)

    def last_denied(
        self, *, tenant: str, agent: str, person: str, call_hash: str, since: int
    ) -> LastDenied | None:
        """The last denial of this very call of the agent for the person, after `since`."""
        found = self._session.exec(
            select(RequestRow.decided, RequestRow.id, RequestRow.enforcer)
            .where(
                RequestRow.tenant == tenant,
                RequestRow.agent == agent,
                RequestRow.state == State.DENIED.value,
                RequestRow.call_hash == call_hash,
                RequestRow.person == person,
                col(RequestRow.decided) > since,
            )
            .order_by(col(RequestRow.decided).desc(), col(RequestRow.id))
            .limit(1)
        ).first()
        if found is None or found[0] is None:
            return None
        return LastDenied(found[0], found[1], found[2])

    # -- looking ----------------------------------------------------------------------------

    def first_seen(self, *, request_id: str, person: str) -> int | None:
        """When the person first had the request's page before them."""
        row = self._session.get(SeatRow, (request_id, person))
        return None if row is None else row.first_seen

    def mark_seen(self, *, request_id: str, person: str, now: int) -> None:
        """Remember when the person first had the request's page before them."""
        seat = self._seat(request_id=request_id, person=person)
        if seat is not None and seat.first_seen is None:
            change(self._session, seat, first_seen=now)

    def opened_whole(self, *, request_id: str, person: str) -> bool:
        """Has the person opened the whole of what will run?"""
        row = self._session.get(SeatRow, (request_id, person))
        return row is not None and row.opened_whole is not None

    def mark_opened(self, *, request_id: str, person: str, now: int) -> None:
        """Remember when the person first opened the whole of what will run."""
        seat = self._seat(request_id=request_id, person=person)
        if seat is not None and seat.opened_whole is None:
            change(self._session, seat, opened_whole=now)

    def _seat(self, *, request_id: str, person: str) -> SeatRow | None:
        """The seat, locked, as it is now: both times may be marked at once."""
        return self._session.exec(
            select(SeatRow)
            .where(SeatRow.request == request_id, SeatRow.person == person)
            .with_for_update()
            .execution_options(populate_existing=True)
        ).first()

    # -- following up -----------------------------------------------------------------------

    def to_follow(self, *, now: int, limit: int) -> list[tuple[str, str]]:
        """(tenant, id) of pending requests of which somebody is to be told by now."""
        rows = self._session.exec(
            select(RequestRow.tenant, RequestRow.id)
            .where(
                RequestRow.state == State.PENDING.value,
                col(RequestRow.follow_at) <= now,
                col(RequestRow.expires) > now,
            )
            .order_by(col(RequestRow.follow_at))
            .limit(limit)
        )
        return [(tenant, request_id) for tenant, request_id in rows]

    def follow_at(self, request_id: str) -> int | None:
        """When somebody is to be told of this request next."""
        return self._session.exec(
            select(RequestRow.follow_at).where(RequestRow.id == request_id)
        ).first()

    def follow_next(self, request_id: str, *, at: int | None) -> None:
        """Everything that was due before `at` has been done."""
        self._session.execute(
            update(RequestRow).where(col(RequestRow.id) == request_id).values(follow_at=at)
        )

    def missed_or_waiting(
        self, *, now: int, opened_before: int, decided_from: int, decided_before: int
    ) -> list[tuple[str, str]]:
        """(tenant, person) who have not voted on a request that waits for them, or ended without.

        That is: one opened before `opened_before` that is still pending, or one that others
        approved or denied in the given time.
        """
        # A request is decided before it expires, so its expiry (which has an index) bounds both.
        waits = and_(
            col(RequestRow.state) == State.PENDING.value,
            col(RequestRow.expires) > now,
            col(RequestRow.created) < opened_before,
        )
        missed = and_(
            col(RequestRow.state).in_((State.APPROVED.value, State.DENIED.value)),
            col(RequestRow.expires) > decided_from,
            col(RequestRow.decided) >= decided_from,
            col(RequestRow.decided) < decided_before,
        )
        rows = self._session.exec(
            select(SeatRow.tenant, SeatRow.person)
            .join(RequestRow, col(RequestRow.id) == col(SeatRow.request))
            .outerjoin(
                VoteRow,
                and_(
                    col(VoteRow.request) == col(SeatRow.request),
                    col(VoteRow.person) == col(SeatRow.person),
                ),
            )
            .where(
                or_(waits, missed),
                col(VoteRow.request).is_(None),
                RequestRow.person != SeatRow.person,
            )
            .distinct()
            .order_by(SeatRow.tenant, SeatRow.person)
        )
        return [(tenant, person) for tenant, person in rows]

    # -- figures ----------------------------------------------------------------------------

    def votes_since(self, *, tenant: str, since: int, limit: int) -> list[CastVote]:
        """The newest votes since then, with how long after the request was opened they came."""
        rows = self._session.execute(
            select_columns(
                col(VoteRow.person),
                col(VoteRow.decision),
                col(VoteRow.created) - col(SeatRow.created),
                col(SeatRow.rules),
            )
            .join(
                SeatRow,
                and_(
                    col(SeatRow.request) == col(VoteRow.request),
                    col(SeatRow.person) == col(VoteRow.person),
                ),
            )
            .where(col(VoteRow.tenant) == tenant, col(VoteRow.created) > since)
            .order_by(col(VoteRow.created).desc(), col(VoteRow.request))
            .limit(limit)
        )
        return [
            CastVote(
                person=person,
                approves=decision == Decision.APPROVE.value,
                seconds=max(0, seconds),
                rules=tuple(orjson.loads(rules)),
            )
            for person, decision, seconds, rules in rows
        ]
