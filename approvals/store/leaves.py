"""The log's rows: staged events, leaves, tile nodes, checkpoints."""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from sqlalchemy import and_, bindparam, delete, func, insert, or_, text, update
from sqlalchemy import select as select_columns
from sqlmodel import col, select

from approvals.core.tlog.leaves import Filed, Leaf, Staged, StoredCheckpoint
from approvals.store.rows.log import CheckpointRow, LeafRow, NodeRow, StagedRow, as_octets

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from sqlmodel import Session


SEQUENCER_LOCK = 7_234_002  # an advisory lock number on PostgreSQL, arbitrary and fixed


class Leaves:
    """The log of a transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def staged(self, *, limit: int) -> list[Staged]:
        """The oldest events in line."""
        rows = self._session.exec(select(StagedRow).order_by(col(StagedRow.id)).limit(limit))
        return [Staged(row.id or 0, row.tenant, row.subject, row.leaf, row.opening) for row in rows]

    def waits(self, *, tenant: str, about: Sequence[str]) -> bool:
        """Whether an event is in line whose subject starts with one of `about`."""
        subjects = [col(StagedRow.subject).startswith(start, autoescape=True) for start in about]
        found = self._session.exec(
            select(StagedRow.id).where(StagedRow.tenant == tenant, or_(*subjects)).limit(1)
        )
        return found.first() is not None

    def staged_count(self) -> int:
        """How many events are in line."""
        return self._session.exec(select(func.count()).select_from(StagedRow)).one()

    def lasts(self, subjects: Collection[tuple[str, str]]) -> dict[tuple[str, str], bytes]:
        """The last leaf that is filed under each (tenant, subject), where there is one."""
        found: dict[tuple[str, str], bytes] = {}
        for tenant, group in groupby(sorted(subjects), key=itemgetter(0)):
            last = (
                select(func.max(LeafRow.index))
                .where(
                    LeafRow.tenant == tenant, col(LeafRow.subject).in_([name for _, name in group])
                )
                .group_by(col(LeafRow.subject))
            )
            leaves = select_columns(col(LeafRow.subject), col(LeafRow.leaf))
            rows = self._session.execute(leaves.where(col(LeafRow.index).in_(last)))
            found |= {(tenant, subject): as_octets(leaf) for subject, leaf in rows}
        return found

    def unstage(self, ids: Sequence[int]) -> None:
        """Take events out of the line, because they have their place."""
        self._session.execute(delete(StagedRow).where(col(StagedRow.id).in_(ids)))

    def append(self, leaves: Sequence[Leaf]) -> None:
        """Store leaves in their places. A place can be taken once."""
        self._session.execute(
            insert(LeafRow),
            [{name: getattr(leaf, name) for name in Leaf.__slots__} for leaf in leaves],
        )

    def leaves(self, start: int, end: int) -> list[Leaf]:
        """The leaves from `start` up to, not including, `end`."""
        rows = self._session.exec(
            select(LeafRow)
            .where(col(LeafRow.index) >= start, col(LeafRow.index) < end)
            .order_by(col(LeafRow.index))
        )
        return [_leaf(row) for row in rows]

    def filed(self, start: int, end: int) -> list[Filed]:
        """As `leaves`, without what opens them."""
        rows = self._session.connection().execute(_FILED, {"first": start, "end": end})
        return [
            Filed(index, tenant, subject, as_octets(leaf)) for index, tenant, subject, leaf in rows
        ]

    def hashes(self, start: int, end: int) -> list[bytes]:
        """The leaf hashes from `start` up to, not including, `end`."""
        rows = self._session.exec(
            select(LeafRow.hash)
            .where(col(LeafRow.index) >= start, col(LeafRow.index) < end)
            .order_by(col(LeafRow.index))
        )
        return list(rows)

    def about(self, *, tenant: str, subject: str) -> list[Leaf]:
        """The leaves about a request or verdict, in order."""
        rows = self._session.exec(
            select(LeafRow)
            .where(LeafRow.tenant == tenant, LeafRow.subject == subject)
            .order_by(col(LeafRow.index))
        )
        return [_leaf(row) for row in rows]

    def told(self, *, tenant: str, subject: str) -> list[bytes]:
        """The events about a subject, in line or in their places; one that moves may be twice."""
        return [
            leaf
            for row in (StagedRow, LeafRow)  # the way they go, so that none is missed
            for leaf in self._session.exec(
                select(row.leaf).where(row.tenant == tenant, row.subject == subject)
            )
        ]

    def leaf_count(self) -> int:
        """How many rows the leaf table holds."""
        return self._session.exec(select(func.count()).select_from(LeafRow)).one()

    def put_nodes(self, level: int, start: int, hashes: Sequence[bytes]) -> None:
        """Store hashes of full subtrees of 256^level leaves, from index `start` on."""
        if hashes:
            self._session.execute(
                insert(NodeRow),
                [
                    {"level": level, "index": start + offset, "hash": node}
                    for offset, node in enumerate(hashes)
                ],
            )

    def nodes(self, level: int, start: int, end: int) -> list[bytes]:
        """Hashes of full subtrees of 256^level leaves, from `start` up to, not including, `end`."""
        rows = self._session.exec(
            select(NodeRow.hash)
            .where(NodeRow.level == level, col(NodeRow.index) >= start, col(NodeRow.index) < end)
            .order_by(col(NodeRow.index))
        )
        return list(rows)

    def put_checkpoint(self, checkpoint: StoredCheckpoint) -> None:
        """Store a checkpoint. A size can have one."""
        self._session.add(
            CheckpointRow(
                size=checkpoint.size,
                root=checkpoint.root,
                note=checkpoint.note,
                created=checkpoint.created,
            )
        )
        self._session.flush()

    def latest_checkpoint(self) -> StoredCheckpoint | None:
        """The largest checkpoint."""
        row = self._session.exec(
            select(CheckpointRow).order_by(col(CheckpointRow.size).desc()).limit(1)
        ).first()
        return None if row is None else _checkpoint(row)

    def checkpoints(self) -> Iterator[StoredCheckpoint]:
        """Every checkpoint, smallest first, a few at a time."""
        rows = self._session.exec(
            select(CheckpointRow).order_by(col(CheckpointRow.size)).execution_options(yield_per=500)
        )
        for row in rows:
            yield _checkpoint(row)

    def latest_time(self) -> int:
        """The latest time at which a checkpoint says that it was made; 0 without any."""
        return int(self._session.exec(select(func.max(CheckpointRow.created))).one() or 0)

    def lower_times(self, now: int) -> None:
        """Let no checkpoint say that it was made after `now`."""
        later = update(CheckpointRow).where(col(CheckpointRow.created) > now)
        self._session.execute(later.values(created=now))

    def put_time(self, size: int, created: int) -> None:
        """Correct the time at which the checkpoint of this size says that it was made.

        None before it was made later.
        """
        made = col(CheckpointRow.size)
        later = and_(made < size, col(CheckpointRow.created) > created)
        row = update(CheckpointRow).where(or_(made == size, later))
        self._session.execute(row.values(created=created))

    def lead(self) -> bool:
        """Become the one sequencer until this transaction ends. False if another process is.

        SQLite has one writer at a time, so whoever holds a write transaction is the one.
        """
        if self._session.get_bind().dialect.name == "sqlite":
            return True
        return bool(
            self._session.execute(
                text("SELECT pg_try_advisory_xact_lock(:n)"), {"n": SEQUENCER_LOCK}
            ).scalar_one()
        )


_FILED: Final = (
    select_columns(LeafRow.index, LeafRow.tenant, LeafRow.subject, LeafRow.leaf)  # type: ignore[call-overload]
    .where(col(LeafRow.index) >= bindparam("first"), col(LeafRow.index) < bindparam("end"))
    .order_by(col(LeafRow.index))
)


def _leaf(row: LeafRow) -> Leaf:
    return Leaf(row.index, row.tenant, row.subject, as_octets(row.leaf), row.hash, row.opening)


def _checkpoint(row: CheckpointRow) -> StoredCheckpoint:
    return StoredCheckpoint(row.size, row.root, row.note, row.created)
