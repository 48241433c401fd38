"""The log's rows: staged events, the chains they make, leaves, tile nodes, checkpoints.

Events wait in memory until their transaction ends; `settle` then locks the chains that they belong
to, in the order of their subjects. These are the last locks that a transaction takes. So two
transactions cannot wait for one another, whichever subjects they have events of, and on PostgreSQL
a chain is held for the length of the commit only.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

import orjson
from sqlalchemy import (
    BigInteger,
    LargeBinary,
    Text,
    bindparam,
    cast,
    delete,
    func,
    insert,
    literal_column,
    null,
    or_,
    text,
    union_all,
    update,
)
from sqlalchemy import select as select_columns
from sqlmodel import col, select

from approvals.core.history.events import Chain, seal
from approvals.core.tlog.leaves import Filed, Leaf, Staged, StoredCheckpoint
from approvals.store.ends import moment_of, require
from approvals.store.rows.log import ChainRow, CheckpointRow, LeafRow, NodeRow, StagedRow
from approvals.store.seals import check, with_seal
from approvals.store.statements import insert_or_lock, insert_row

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from sqlmodel import Session

    from approvals.core.history.events import Event

SEQUENCER_LOCK = 7_234_002  # an advisory lock number on PostgreSQL, arbitrary and fixed


@dataclass(frozen=True, slots=True)
class Told:
    """The events of a subject as they are stored, in order, and how far they are said to go."""

    count: int
    head: bytes | None
    leaves: tuple[bytes, ...]
    openings: tuple[str, ...]


class Leaves:
    """The log of a transaction."""

    def __init__(self, session: Session, *, now: int) -> None:
        self._session = session
        self._now = now
        self._pending: list[tuple[Event, bytes]] = []
        self.settled: list[tuple[str, str, int]] = []

    def stage(self, event: Event, *, salt: bytes) -> None:
        """Put an event in line for the log, after those of its subject, when this commits."""
        self._pending.append((event, salt))

    def settle(self) -> None:
        """Give the staged events their numbers and write them: the last act of a transaction.

        Raises:
            ProofError: an event cannot be told as a leaf (`event`); nothing may commit then.
        """
        pending, self._pending = self._pending, []
        chains = {key: self._locked(*key) for key in sorted({_key(event) for event, _ in pending})}
        last = {_key(event): number for number, (event, _) in enumerate(pending)}
        for number, (event, salt) in enumerate(pending):
            key, chain = _key(event), chains[_key(event)]
            sealed = seal(event, link=chain.next(), salt=salt)
            chain.add(sealed.leaf)
            staged = with_seal(
                self._session,
                StagedRow,
                {
                    "tenant": event.tenant,
                    "subject": event.subject,
                    "leaf": sealed.leaf,
                    "opening": orjson.dumps(sealed.opening).decode(),
                    "created": self._now,
                },
            )
            if last[key] == number:
                self._write_last(staged, chain)
            else:
                insert_row(self._session, StagedRow, staged)
        self.settled = [(*key, chain.count) for key, chain in chains.items()]

    def _locked(self, tenant: str, subject: str) -> Chain:
        """The chain of a subject, locked until the transaction ends; a new one if it has none."""
        moment = moment_of(self._session)
        held = insert_or_lock(
            self._session,
            ChainRow,
            with_seal(
                self._session,
                ChainRow,
                {"tenant": tenant, "subject": subject, "count": 0, "head": None},
            ),
            returning=("count", "head", "seal"),
        )
        count, head, seal_held = held
        check(
            self._session,
            ChainRow,
            {"tenant": tenant, "subject": subject, "count": count, "head": head, "seal": seal_held},
        )
        require(self._session, tenant=tenant, subject=subject, count=count, moment=moment)
        return Chain(count, head)

    def _write_last(self, staged: dict[str, object], chain: Chain) -> None:
        """Stage the last event of a subject, and note that its chain goes on from there."""
        chain_seal = with_seal(
            self._session,
            ChainRow,
            {
                "tenant": staged["tenant"],
                "subject": staged["subject"],
                "count": chain.count,
                "head": chain.head,
            },
        )["seal"]
        values = {
            **{f"new_{name}": value for name, value in staged.items()},
            "new_count": chain.count,
            "new_head": chain.head,
            "new_chain_seal": chain_seal,
        }
        # PostgreSQL does both in one round trip; SQLite has no statement for it and no round trip.
        if self._session.get_bind().dialect.name == "sqlite":
            insert_row(self._session, StagedRow, staged)
            self._session.connection().execute(_ADVANCE, values)
        else:
            self._session.connection().execute(_STAGE_AND_ADVANCE, values)

    def chain(self, *, tenant: str, subject: str) -> Chain:
        """How far a subject's events go.

        Raises:
            Unavailable: the chain is not as the service wrote it (`row_altered`).
        """
        moment = moment_of(self._session)
        row = self._session.exec(
            select(ChainRow).where(ChainRow.tenant == tenant, ChainRow.subject == subject)
        ).first()
        found = Chain() if row is None else Chain(row.count, row.head)
        require(self._session, tenant=tenant, subject=subject, count=found.count, moment=moment)
        return found

    def end(
        self, row: Mapping[str, Any] | None, *, tenant: str, subject: str, moment: int
    ) -> Chain:
        """As `chain`, of the `row` that another statement has read, which `moment` came before."""
        if row is not None:
            check(self._session, ChainRow, row)
        found = Chain() if row is None else Chain(row["count"], row["head"])
        require(self._session, tenant=tenant, subject=subject, count=found.count, moment=moment)
        return found

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
            Filed(index, tenant, subject, _octets(leaf)) for index, tenant, subject, leaf in rows
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

    def history(self, *, tenant: str, subject: str) -> Told:
        """As `histories`, of one subject."""
        return self.histories(tenant=tenant, subjects=[subject])[subject]

    def histories(self, *, tenant: str, subjects: Collection[str]) -> dict[str, Told]:
        """The events of each subject, first to last, and where its chain says that they end.

        One statement, so that no event moves from the line to its place while it is read.

        Raises:
            Unavailable: the chain is not as the service wrote it (`row_altered`).
        """
        moment = moment_of(self._session)
        found = self._histories(tenant, subjects)
        for subject, (told, row) in found.items():
            if row is not None:
                check(self._session, ChainRow, row)
            require(self._session, tenant=tenant, subject=subject, count=told.count, moment=moment)
        return {subject: told for subject, (told, _) in found.items()}

    def unheld(self, *, tenant: str, subjects: Collection[str]) -> dict[str, Told]:
        """As `histories`, whatever is wrong with the chains: for the check that tells of it."""
        return {name: told for name, (told, _) in self._histories(tenant, subjects).items()}

    def _histories(
        self, tenant: str, subjects: Collection[str]
    ) -> dict[str, tuple[Told, dict[str, object] | None]]:
        """Each with the row of its chain; None: there is none."""
        rows = self._session.connection().execute(
            _HISTORIES, {"of_tenant": tenant, "of_subjects": [*subjects]}
        )
        ends: dict[str, dict[str, Any]] = {}
        events: dict[str, list[tuple[int, int, bytes, str]]] = {name: [] for name in subjects}
        for kind, subject, number, octets, sealed, opening in rows:
            if kind == _END:
                named = {"tenant": tenant, "subject": subject, "seal": sealed}
                ends[subject] = {**named, "count": number, "head": octets}
            else:
                events[subject].append((kind, number, _octets(octets), opening))
        found = {}
        for subject, those in events.items():
            those.sort(key=itemgetter(0, 1))
            row = ends.get(subject)
            found[subject] = (
                Told(
                    0 if row is None else row["count"],
                    None if row is None else row["head"],
                    leaves=tuple(leaf for _, _, leaf, _ in those),
                    openings=tuple(opening for *_, opening in those),
                ),
                row,
            )
        return found

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


def _key(event: Event) -> tuple[str, str]:
    return event.tenant, event.subject


_STAGED: Final = ("tenant", "subject", "leaf", "opening", "created", "seal")
# A parameter with a column's name would become a value of that column, in both statements.
_ADVANCE: Final = (
    update(ChainRow)
    .where(
        col(ChainRow.tenant) == bindparam("new_tenant"),
        col(ChainRow.subject) == bindparam("new_subject"),
    )
    .values(
        count=bindparam("new_count"),
        head=bindparam("new_head"),
        seal=bindparam("new_chain_seal"),
    )
)
_STAGE_AND_ADVANCE: Final = (
    insert(StagedRow)
    .values({name: bindparam(f"new_{name}") for name in _STAGED})
    .add_cte(_ADVANCE.cte("advanced"))
)


_FILED: Final = (
    select_columns(LeafRow.index, LeafRow.tenant, LeafRow.subject, LeafRow.leaf)  # type: ignore[call-overload]
    .where(col(LeafRow.index) >= bindparam("first"), col(LeafRow.index) < bindparam("end"))
    .order_by(col(LeafRow.index))
)
_PLACED: Final = 0
_IN_LINE: Final = 1
_END: Final = 2


def _part(
    kind: int, row: Any, number: Any, octets: Any, *, seal: Any = None, opening: Any = None
) -> Any:
    return select_columns(
        literal_column(str(kind)).label("kind"),
        row.subject.label("subject"),
        cast(number, BigInteger).label("number"),
        cast(octets, LargeBinary).label("octets"),
        cast(null() if seal is None else seal, LargeBinary).label("seal"),
        cast(null() if opening is None else opening, Text).label("opening"),
    ).where(
        row.tenant == bindparam("of_tenant"),
        row.subject.in_(bindparam("of_subjects", expanding=True)),
    )


_HISTORIES: Final = union_all(
    _part(_PLACED, LeafRow, LeafRow.index, LeafRow.leaf, opening=LeafRow.opening),
    _part(_IN_LINE, StagedRow, StagedRow.id, StagedRow.leaf, opening=StagedRow.opening),
    _part(_END, ChainRow, ChainRow.count, ChainRow.head, seal=ChainRow.seal),
)


def _leaf(row: LeafRow) -> Leaf:
    return Leaf(row.index, row.tenant, row.subject, _octets(row.leaf), row.hash, row.opening)


def _octets(value: bytes | str) -> bytes:
    """SQLite gives text back where an edit left text: it is to be found out, not to fail."""
    return value.encode() if isinstance(value, str) else value


def _checkpoint(row: CheckpointRow) -> StoredCheckpoint:
    return StoredCheckpoint(row.size, row.root, row.note, row.created)
