"""The chains of the log: the events of each subject, each naming the one before it.

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
    exists,
    insert,
    literal_column,
    null,
    or_,
    union,
    union_all,
    update,
)
from sqlalchemy import select as select_columns
from sqlmodel import col, select

from approvals.core.history.leaves import Chain, seal
from approvals.store.ends import moment_of, require
from approvals.store.rows.log import ChainRow, LeafRow, StagedRow, as_octets
from approvals.store.seals import check, with_seal
from approvals.store.statements import insert_or_lock, insert_row

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sqlmodel import Session

    from approvals.core.history.events import Event


@dataclass(frozen=True, slots=True)
class Told:
    """The events of a subject as they are stored, in order, and how far they are said to go."""

    count: int
    head: bytes | None
    leaves: tuple[bytes, ...]
    openings: tuple[str, ...]


class Chains:
    """The chains of a transaction, and the events that it adds to them."""

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

    def mend(self, ends: Mapping[tuple[str, str], Chain]) -> None:
        """Let chains, by (tenant, subject), end as these, whatever their rows say."""
        for tenant, subject in ends:
            self._session.connection().execute(
                delete(ChainRow).where(
                    col(ChainRow.tenant) == tenant, col(ChainRow.subject) == subject
                )
            )
            end = ends[tenant, subject]
            values = {"tenant": tenant, "subject": subject, "count": end.count, "head": end.head}
            insert_row(self._session, ChainRow, with_seal(self._session, ChainRow, values))

    def forget_empty(self) -> None:
        """Delete the chains of subjects of which the log has no event."""
        told = (
            exists().where(
                col(row.tenant) == col(ChainRow.tenant), col(row.subject) == col(ChainRow.subject)
            )
            for row in (LeafRow, StagedRow)
        )
        self._session.connection().execute(delete(ChainRow).where(~or_(*told)))

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

    def subjects(self, *, tenant: str, about: str) -> list[str]:
        """The subjects whose names start with `about` of which any event is told, in order.

        By the events themselves: the row of a chain may be missing.
        """
        found = union(
            *(
                select_columns(col(row.subject)).where(
                    col(row.tenant) == tenant, col(row.subject).startswith(about, autoescape=True)
                )
                for row in (LeafRow, StagedRow)
            )
        )
        return sorted(self._session.connection().execute(found).scalars())

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
                events[subject].append((kind, number, as_octets(octets), opening))
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
