"""Which database this is, and whether anything may be granted on it.

What holds:
1. One row, made with the database, holds a random identity: another database has another one.
2. What a process found wrong with the log is in that row, so that every process reads it in the
   transaction in which it would grant something. The row has no seal: `look` also gives the end of
   the service's own events, which tell of each finding.
3. `look` is one statement that reads a few rows by their keys. It costs the same however long the
   log is.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, bindparam, func, select, update
from sqlmodel import Session, col

from approvals.core.history.events import SERVICE
from approvals.core.requests import State
from approvals.store.ends import moment_of
from approvals.store.notices import NEVER, WAITING, on_channel
from approvals.store.rows.calls import ApprovalRow, RequestRow
from approvals.store.rows.log import ChainRow, CheckpointRow, StagedRow, StandingRow
from approvals.store.rows.notices import NoticeRow
from approvals.store.statements import changed, insert_new

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Engine, Select

_ROW: Final = 1
_IDENTITY_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Standing:
    """What a transaction sees of the log's state.

    `marked_root` is the root of the checkpoint of the size that was asked for, if there is one;
    `oldest` is when the event that waits longest for its place was staged; `own` is the chain's row
    of the service's own events, for `Leaves.end`, and `moment` that of `store.ends`.
    """

    identity: str
    url: str | None
    closed: str | None
    reason: str | None
    since: int | None
    marked_root: bytes | None
    oldest: int | None
    own: Mapping[str, Any] | None
    moment: int


_COLUMNS: Final = ("identity", "url", "closed", "reason", "since", "marked_root", "oldest")
_LOOK = select(
    StandingRow.identity,
    StandingRow.url,
    StandingRow.closed,
    StandingRow.reason,
    StandingRow.since,
    select(CheckpointRow.root)  # type: ignore[call-overload]
    .where(CheckpointRow.size == bindparam("size"))
    .scalar_subquery()
    .label("marked_root"),
    select(StagedRow.created)  # type: ignore[call-overload]
    .order_by(col(StagedRow.id))
    .limit(1)
    .scalar_subquery()
    .label("oldest"),
    col(ChainRow.tenant),
    col(ChainRow.subject),
    col(ChainRow.count),
    col(ChainRow.head),
    col(ChainRow.seal),
)
_LOOK = (
    _LOOK.select_from(StandingRow)
    .outerjoin(
        ChainRow,
        and_(col(ChainRow.tenant) == bindparam("tenant"), col(ChainRow.subject) == SERVICE),
    )
    .where(col(StandingRow.id) == _ROW)
)


class Standings:
    """The standing row of a transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def look(self, *, marked: int = 0, tenant: str = "") -> Standing | None:
        """The standing; None: the row is gone.

        With the root of the checkpoint of size `marked`, and the end of this tenant's own events of
        the service.
        """
        moment = moment_of(self._session)
        row = self._session.connection().execute(_LOOK, {"size": marked, "tenant": tenant})
        found = row.mappings().one_or_none()
        if found is None:
            return None
        own = {name: found[name] for name in ("tenant", "subject", "count", "head", "seal")}
        return Standing(
            **{name: found[name] for name in _COLUMNS},
            own=None if own["subject"] is None else own,
            moment=moment,
        )

    def close(self, *, code: str, reason: str, now: int) -> bool:
        """Keep every process from granting; False: the row is gone. The first finding stays.

        Locks the row, also where it says that already: an operator who opens the service comes
        before this, and it is closed again, or after it, and notices.
        """
        values = {"closed": code, "reason": reason, "since": now}
        first = {
            name: func.coalesce(getattr(StandingRow, name), value) for name, value in values.items()
        }
        closing = update(StandingRow).where(col(StandingRow.id) == _ROW).values(first)
        return changed(self._session.execute(closing)) == 1

    def open(self) -> None:
        """Let processes grant again. Locks the row."""
        opening = update(StandingRow).where(col(StandingRow.id) == _ROW)
        self._session.execute(opening.values(closed=None, reason=None, since=None))

    def pending(self, *, most: int) -> tuple[int, int | None]:
        """How many requests are pending, counted up to `most`, and since when the oldest is."""
        return self._counted(
            select(col(RequestRow.created))
            .where(col(RequestRow.state) == State.PENDING.value)
            .order_by(col(RequestRow.expires))
            .limit(most)
        )

    def unspent(self, *, most: int) -> int:
        """How many approvals were neither spent nor recorded as lapsed, counted up to `most`."""
        waits = col(ApprovalRow.lapse_at) >= 0
        return self._counted(select(col(ApprovalRow.created)).where(waits).limit(most))[0]

    def outbox(self, channel: str, *, most: int) -> tuple[int, int | None]:
        """How many notices wait on a channel, counted up to `most`, and since when the oldest."""
        return self._counted(
            select(col(NoticeRow.due))
            # A delivered notice keeps its state: more may be told of its subject. It is not due.
            .where(
                on_channel(channel),
                col(NoticeRow.state) == WAITING,
                col(NoticeRow.next_try) < NEVER,
            )
            .order_by(col(NoticeRow.next_try))
            .limit(most)
        )

    def waiting(self, *, most: int) -> tuple[int, int | None]:
        """How many events wait for their place, counted up to `most`, and since when the oldest."""
        return self._counted(select(col(StagedRow.created)).order_by(col(StagedRow.id)).limit(most))

    def _counted(self, times: Select[int]) -> tuple[int, int | None]:
        """How many times a query gives, and the first of them."""
        found = times.subquery()
        (time,) = found.columns
        count, first = (
            self._session.connection()
            .execute(select(func.count(), func.min(time)).select_from(found))
            .one()
        )
        return count, first

    def probe(self, *, now: int) -> None:
        """Write something, to find out whether anything can be written."""
        self._session.execute(
            update(StandingRow).where(col(StandingRow.id) == _ROW).values(probed=now)
        )

    def put_url(self, url: str) -> None:
        """Remember under which address the service runs."""
        self._session.execute(
            update(StandingRow).where(col(StandingRow.id) == _ROW).values(url=url)
        )

    def renew(self) -> str:
        """Give the database another identity, as after a restore: what knew it notices."""
        identity = secrets.token_hex(_IDENTITY_BYTES)
        renewing = update(StandingRow).where(col(StandingRow.id) == _ROW)
        self._session.execute(renewing.values(identity=identity))
        return identity


def establish(engine: Engine) -> None:
    """Make the row where the database is new; otherwise this only reads."""
    with Session(engine) as session:
        made = session.execute(select(col(StandingRow.id))).first() is not None
    if not made:
        with Session(engine.execution_options(writes=True)) as session, session.begin():
            identity = secrets.token_hex(_IDENTITY_BYTES)
            insert_new(session, StandingRow, {"id": _ROW, "identity": identity})
