"""Lists of requests, newest first: a person's inbox, and what an agent asked for lately.

A list leaves out a request whose seal does not hold: nothing is granted from a list.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson
from sqlmodel import col, select

from approvals.core.requests import State
from approvals.store.rows.calls import RequestRow, SeatRow, VoteRow
from approvals.store.seals import sound

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlmodel import Session


@dataclass(frozen=True, slots=True)
class RequestLine:
    """One line of a list of requests."""

    id: str
    agent: str
    person: str
    target: str
    tool: str
    call_hash: str
    gist: tuple[str, ...]
    state: State
    created: int
    expires: int


class Lists:
    """The lists of a transaction. A list has at most `limit` lines."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def asked(self, *, tenant: str, person: str, limit: int) -> list[RequestLine]:
        """The newest requests that the person is asked about."""
        # From the seats, which have an index for it: however many there are, `limit` are read.
        newest = (
            select(SeatRow.request)
            .where(SeatRow.tenant == tenant, SeatRow.person == person)
            .order_by(col(SeatRow.created).desc())
            .limit(limit)
        )
        rows = sound(
            self._session,
            select(RequestRow)
            # Not by the tenant, which SQLite would take for the narrower way: it is checked below.
            .where(col(RequestRow.id).in_(newest))
            .order_by(col(RequestRow.created).desc(), RequestRow.id),
        )
        return [_line(row) for row in rows if row.tenant == tenant]

    def made_for(self, *, tenant: str, person: str, limit: int) -> list[RequestLine]:
        """The newest requests made for the person."""
        rows = sound(
            self._session,
            select(RequestRow)
            .where(RequestRow.tenant == tenant, RequestRow.person == person)
            .order_by(col(RequestRow.created).desc(), RequestRow.id)
            .limit(limit),
        )
        return [_line(row) for row in rows]

    def lately(
        self, *, tenant: str, agent: str, before: int, besides: str, limit: int
    ) -> list[RequestLine]:
        """What the agent asked for up to `before`, newest first, without the request `besides`."""
        rows = sound(
            self._session,
            select(RequestRow)
            .where(
                RequestRow.tenant == tenant,
                RequestRow.agent == agent,
                RequestRow.created <= before,
                RequestRow.id != besides,
            )
            .order_by(col(RequestRow.created).desc(), RequestRow.id)
            .limit(limit),
        )
        return [_line(row) for row in rows]

    def voted_on(self, request_ids: Collection[str], *, person: str) -> frozenset[str]:
        """Which of these requests the person has voted on."""
        rows = self._session.exec(
            select(VoteRow.request).where(
                col(VoteRow.request).in_(request_ids), VoteRow.person == person
            )
        )
        return frozenset(rows)


def _line(row: RequestRow) -> RequestLine:
    return RequestLine(
        id=row.id,
        agent=row.agent,
        person=row.person,
        target=row.target,
        tool=row.tool,
        call_hash=row.call_hash,
        gist=tuple(orjson.loads(row.gist)),
        state=State(row.state),
        created=row.created,
        expires=row.expires,
    )
