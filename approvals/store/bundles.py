"""Bundles and their activations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import Select, and_, bindparam
from sqlalchemy import select as select_columns
from sqlmodel import col, select

from approvals.core.errors import Conflict
from approvals.core.history.events import BUNDLES
from approvals.core.merkle import leaf_hash
from approvals.store.ends import moment_of, require
from approvals.store.rows.calls import ActivationRow, BundleRow
from approvals.store.rows.log import ChainRow, LeafRow, StagedRow
from approvals.store.seals import add_new, altered, check

if TYPE_CHECKING:
    from sqlmodel import Session

# Asked at every call: made once, it costs a tenth.
# The newest activation that the table has, where the chain of activations ends, and its last event:
# a row that is missing shows in the same statement.
_CURRENT: Select[*tuple[Any, ...]] = (
    select_columns(
        ActivationRow.__table__,  # type: ignore[attr-defined]
        col(ChainRow.count).label("chain_count"),
        col(ChainRow.head).label("chain_head"),
        col(ChainRow.seal).label("chain_seal"),
        *(
            select_columns(col(row.leaf))
            .where(col(row.tenant) == bindparam("tenant"), col(row.subject) == BUNDLES)
            .order_by(place.desc())
            .limit(1)
            .scalar_subquery()
            .label(name)
            for name, row, place in (
                ("in_line", StagedRow, col(StagedRow.id)),
                ("placed", LeafRow, col(LeafRow.index)),
            )
        ),
    )
    .select_from(ActivationRow)
    .outerjoin(
        ChainRow,
        and_(col(ChainRow.tenant) == bindparam("tenant"), col(ChainRow.subject) == BUNDLES),
    )
    .where(col(ActivationRow.tenant) == bindparam("tenant"))
    .order_by(col(ActivationRow.number).desc())
    .limit(1)
)


_ACTIVATION = tuple(ActivationRow.__table__.columns.keys())  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Activation:
    """Which bundle is current, who activated it last, and everybody who ever activated it.

    `number` says how many activations the tenant had before this one.
    """

    number: int
    version: str
    activated_by: str
    excluded: frozenset[str]


@dataclass(frozen=True, slots=True)
class Activated:
    """One activation of the past: which version became current, and when."""

    number: int
    version: str
    created: int


class Bundles:
    """The bundles of a transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session
        # What this transaction itself activated: its event is written when it ends.
        self._made: dict[str, Activation] = {}

    def activate(
        self, *, tenant: str, version: str, files: dict[str, str], by: str, now: int
    ) -> None:
        """Store the bundle if it is new and make it current.

        Whoever activated the same text before stays excluded by it.

        Raises:
            Conflict: another bundle was activated at the same moment.
        """
        if self._session.get(BundleRow, (tenant, version)) is None:
            text = orjson.dumps(files).decode()
            values = {"tenant": tenant, "version": version, "files": text, "created": now}
            add_new(self._session, BundleRow, values)
        before = self.current(tenant)
        number = 0 if before is None else before.number + 1
        excluded = sorted({by, *self._excluded(tenant, version)})
        activated = add_new(
            self._session,
            ActivationRow,
            {
                "tenant": tenant,
                "number": number,
                "version": version,
                "activated_by": by,
                "excluded": orjson.dumps(excluded).decode(),
                "created": now,
            },
        )
        if not activated:
            raise Conflict("another bundle was activated at the same moment; activate it again")
        self._made[tenant] = Activation(number, version, by, frozenset(excluded))

    def current(self, tenant: str) -> Activation | None:
        """The newest activation, which is the one that the last event of its kind tells of.

        An old bundle can so not be brought back by taking newer activations away: the chain goes
        on after the one that is left, or else the log lacks events that were signed.

        Raises:
            Unavailable: it is not the newest that there was (`row_altered`).
        """
        if tenant in self._made:
            return self._made[tenant]
        moment = moment_of(self._session)
        row = self._session.connection().execute(_CURRENT, {"tenant": tenant}).mappings().first()
        count = 0 if row is None else row["chain_count"] or 0
        require(self._session, tenant=tenant, subject=BUNDLES, count=count, moment=moment)
        if row is None:
            return None
        number = row["number"]
        check(self._session, ActivationRow, {name: row[name] for name in _ACTIVATION})
        ends = {"count": row["chain_count"], "head": row["chain_head"], "seal": row["chain_seal"]}
        check(self._session, ChainRow, {"tenant": tenant, "subject": BUNDLES, **ends})
        last = row["in_line"] or row["placed"] or b""
        if (ends["count"], ends["head"]) != (number + 1, leaf_hash(last)):
            raise altered("activation", tenant, number)
        return Activation(
            row["number"],
            row["version"],
            row["activated_by"],
            frozenset(orjson.loads(row["excluded"])),
        )

    def activations(self, *, tenant: str, first: int = 0) -> list[Activated]:
        """The tenant's activations from number `first` on, in order, none missing.

        Raises:
            Unavailable: one is missing, or is not as the service wrote it (`row_altered`).
        """
        current = self.current(tenant)
        rows = self._session.exec(
            select(ActivationRow)
            .where(ActivationRow.tenant == tenant, col(ActivationRow.number) >= first)
            .order_by(col(ActivationRow.number))
        )
        found = [Activated(row.number, row.version, row.created) for row in rows]
        end = -1 if current is None else current.number
        for expected, activated in zip(range(first, end + 1), found, strict=False):
            if activated.number != expected:
                raise altered("activation", tenant, expected)
        if len(found) != max(0, end + 1 - first):
            raise altered("activation", tenant, end)
        return found

    def _excluded(self, tenant: str, version: str) -> list[str]:
        """Who activated this text before: the last activation of it names all of them."""
        row = self._session.exec(
            select(ActivationRow)
            .where(ActivationRow.tenant == tenant, ActivationRow.version == version)
            .order_by(col(ActivationRow.number).desc())
            .limit(1)
        ).first()
        before: list[str] = [] if row is None else orjson.loads(row.excluded)
        return before

    def hold(self, tenant: str) -> None:
        """Let no bundle be activated until this transaction ends.

        What a person is given (a passkey, a signed-in browser) is given under one bundle: either
        the activation that they leave with comes before, or it ends what they were given.
        """
        self._anchor(tenant, shared=True)

    def hold_alone(self, tenant: str) -> None:
        """Wait for every transaction that holds the bundle, and let none begin to."""
        self._anchor(tenant, shared=False)

    def _anchor(self, tenant: str, *, shared: bool) -> None:
        # The first activation is a row that stays: its lock stands for all of them. SQLite has
        # one writer and needs none.
        self._session.exec(
            select(ActivationRow.number)
            .where(ActivationRow.tenant == tenant, ActivationRow.number == 0)
            .with_for_update(read=shared)
        ).first()

    def files(self, *, tenant: str, version: str) -> dict[str, str] | None:
        """The files of a bundle that was activated at some time."""
        row = self._session.get(BundleRow, (tenant, version))
        if row is None:
            return None
        files: dict[str, str] = orjson.loads(row.files)
        return files
