"""Counters in buckets of time: how often an agent called, and how often it was denied.

What holds:
1. What a count costs does not depend on how much was counted: an hour is at most 61 buckets of a
   minute, a day at most 97 of a quarter of an hour.
2. A count is never too low. It takes in the whole of the bucket in which its time begins, so that
   "the last hour" is up to 60 seconds longer than an hour, and "the last day" up to 15 minutes.
3. It is exact under concurrency for whoever holds the agent (`tx.attention.hold`) from before it
   reads until its transaction ends. Adding to a counter needs no such hold, only its row.

Each number follows from the log: what adds to it appends an event in the same transaction. So
`log check` finds a counter that was edited.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import orjson
from sqlalchemy import and_, delete, func, or_, tuple_
from sqlalchemy import select as select_columns
from sqlmodel import col, select

from approvals.store.rows.calls import CountRow
from approvals.store.statements import add_counts, changed

if TYPE_CHECKING:
    from sqlmodel import Session

CALLS: Final = "calls"
DENIED: Final = "denied"
HOUR: Final = 3600
DAY: Final = 86_400
SPANS: Final = {HOUR: 60, DAY: 900}
"""How long a bucket is, by the time that is counted with it."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """One number of a counter, by all that names it."""

    tenant: str
    counter: str
    subject: str
    span: int
    start: int

    def __str__(self) -> str:
        return (
            f"counter {self.counter} of {self.subject} in {self.tenant}, "
            f"{self.span} s from {self.start}"
        )


def buckets_of_call(*, tenant: str, agent: str, tool: str, now: int) -> list[Bucket]:
    """What a call adds one to, in the order in which rows are locked."""
    return [
        Bucket(tenant, CALLS, subject, span, now - now % span)
        for subject in (_name(agent), _name(agent, tool))
        for span in SPANS.values()
    ]


def buckets_of_denial(*, tenant: str, enforcer: str, agent: str, now: int) -> list[Bucket]:
    """What a denied call adds one to."""
    span = SPANS[HOUR]
    return [Bucket(tenant, DENIED, _name(enforcer, agent), span, now - now % span)]


class Counters:
    """The counters of a transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, buckets: list[Bucket]) -> None:
        """Add one to each."""
        add_counts(
            self._session,
            CountRow,
            [
                {name: getattr(bucket, name) for name in Bucket.__slots__} | {"count": 1}
                for bucket in buckets
            ],
        )

    def usage(self, *, tenant: str, agent: str, tool: str, now: int) -> dict[str, int]:
        """How many calls the agent submitted in the last hour and day: of any tool, of this one."""
        names = {_name(agent): "agent", _name(agent, tool): "tool"}
        windows = {SPANS[HOUR]: "hour", SPANS[DAY]: "day"}
        counts = {f"{whose}_{when}": 0 for whose in names.values() for when in windows.values()}
        rows = self._session.exec(
            select(CountRow.subject, CountRow.span, func.sum(CountRow.count))
            .where(
                CountRow.tenant == tenant,
                CountRow.counter == CALLS,
                or_(
                    *(
                        and_(
                            col(CountRow.subject) == name,
                            col(CountRow.span) == span,
                            col(CountRow.start) > now - window - span,
                        )
                        for name in names
                        for window, span in SPANS.items()
                    )
                ),
            )
            .group_by(col(CountRow.subject), col(CountRow.span))
        )
        for subject, span, count in rows:
            counts[f"{names[subject]}_{windows[span]}"] = int(count)
        return counts

    def denied(self, *, tenant: str, enforcer: str, agent: str, now: int) -> list[tuple[int, int]]:
        """(until when it counts, how many) of the calls that were denied in the last hour."""
        span = SPANS[HOUR]
        rows = self._session.exec(
            select(CountRow.start, CountRow.count)
            .where(
                CountRow.tenant == tenant,
                CountRow.counter == DENIED,
                CountRow.subject == _name(enforcer, agent),
                CountRow.span == span,
                CountRow.start > now - HOUR - span,
            )
            .order_by(col(CountRow.start))
        )
        return [(start + span + HOUR, count) for start, count in rows]

    def in_force(self, *, now: int) -> dict[Bucket, int]:
        """Every number of every tenant that a count may still take in."""
        rows = self._session.exec(
            select(CountRow).where(CountRow.start > now - DAY - max(SPANS.values()))
        )
        return {
            Bucket(row.tenant, row.counter, row.subject, row.span, row.start): row.count
            for row in rows
            if is_in_force(row.span, row.start, now=now)
        }

    def outlived(self, *, now: int) -> bool:
        """Whether `forget` would find anything."""
        over = col(CountRow.start) <= now - DAY - max(SPANS.values())
        return self._session.exec(select(CountRow.start).where(over).limit(1)).first() is not None

    def forget(self, *, now: int, limit: int) -> int:
        """Delete numbers that no count takes in any more, a few at a time; gives how many."""
        key = [col(getattr(CountRow, name)) for name in Bucket.__slots__]
        over = (
            select_columns(*key)
            .where(col(CountRow.start) <= now - DAY - max(SPANS.values()))
            .limit(limit)
        )
        return changed(
            self._session.execute(
                delete(CountRow).where(tuple_(*key).in_(over)),
                execution_options={"synchronize_session": False},
            )
        )


def is_in_force(span: int, start: int, *, now: int) -> bool:
    """Whether a count may still take in the number of this bucket."""
    window = next(window for window, its in SPANS.items() if its == span)
    return start > now - window - span


def _name(*parts: str) -> str:
    return orjson.dumps(parts).decode()
