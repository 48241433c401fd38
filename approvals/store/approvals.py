"""Issued approvals, their spending and what became of the calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select as select_columns
from sqlalchemy import update
from sqlmodel import col, select

from approvals.store.rows.calls import ApprovalRow, OutcomeRow, SpendRow
from approvals.store.seals import add, add_new, add_new_from, change

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from sqlmodel import Session

LIVE = "live"
LAPSED = "lapsed"


@dataclass(frozen=True, slots=True)
class IssuedApproval:
    """An approval as issued. `state` is live, lapsed or revoked; spending has its own row."""

    jti: str
    tenant: str
    txn: str
    enforcer: str
    call_hash: str
    bundle: str
    basis: str
    token: str
    state: str
    created: int
    expires: int


@dataclass(frozen=True, slots=True)
class Spend:
    """How an approval was spent; `receipt` is the token that its enforcer was given."""

    jti: str
    use_id: str
    receipt: str
    created: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an enforcer reported: `status` is ok or error."""

    status: str
    output_hash: str | None
    created: int


class Approvals:
    """The approvals of a transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def issue(self, approval: IssuedApproval) -> None:
        """Store an approval. The unique `txn` lets one occasion have one."""
        values = {name: getattr(approval, name) for name in IssuedApproval.__slots__}
        add(self._session, ApprovalRow, {**values, "lapse_at": approval.expires})

    def get(self, *, tenant: str, jti: str, lock: bool = False) -> IssuedApproval | None:
        """The approval with this id.

        `lock=True` takes a row lock: no other transaction can spend or end it meanwhile.
        """
        query = select(ApprovalRow).where(ApprovalRow.tenant == tenant, ApprovalRow.jti == jti)
        if lock:
            # Read anew: what this transaction read before it had the lock may be old by now.
            query = query.with_for_update().execution_options(populate_existing=True)
        row = self._session.exec(query).first()
        return None if row is None else _issued(row)

    def of(self, *, tenant: str, txn: str) -> IssuedApproval | None:
        """The approval of an occasion (a request or a verdict)."""
        row = self._session.exec(
            select(ApprovalRow).where(ApprovalRow.tenant == tenant, ApprovalRow.txn == txn)
        ).first()
        return None if row is None else _issued(row)

    def spend(self, spend: Spend, *, tenant: str, enforcer: str, call_hash: str) -> bool:
        """Spend an approval: one conditional insert keyed on its id.

        Expiry and revocation are conditions of this statement, so no job has to have run for them.
        True if this call inserted the row; false if the row was there or a condition failed.
        """
        values = {
            "jti": spend.jti,
            "tenant": tenant,
            "use_id": spend.use_id,
            "receipt": spend.receipt,
            "created": spend.created,
        }
        fresh = add_new_from(
            self._session,
            SpendRow,
            values,
            lambda *columns: select_columns(*columns).where(
                col(ApprovalRow.jti) == spend.jti,
                col(ApprovalRow.tenant) == tenant,
                col(ApprovalRow.enforcer) == enforcer,
                col(ApprovalRow.call_hash) == call_hash,
                col(ApprovalRow.state) == LIVE,
                col(ApprovalRow.expires) > spend.created,
            ),
        )
        if fresh:
            self._session.execute(
                update(ApprovalRow).where(col(ApprovalRow.jti) == spend.jti).values(lapse_at=None)
            )
        return fresh

    def spent(self, *, tenant: str, jti: str) -> Spend | None:
        """How the approval was spent, if it was."""
        row = self._session.exec(
            select(SpendRow).where(SpendRow.tenant == tenant, SpendRow.jti == jti)
        ).first()
        return None if row is None else Spend(row.jti, row.use_id, row.receipt, row.created)

    def report(
        self, *, tenant: str, jti: str, status: str, output_hash: str | None, now: int
    ) -> bool:
        """Store the outcome unless there is one. True if this call stored it."""
        values = {
            "jti": jti,
            "tenant": tenant,
            "status": status,
            "output_hash": output_hash,
            "created": now,
        }
        return add_new(self._session, OutcomeRow, values)

    def outcome(self, *, tenant: str, jti: str) -> Outcome | None:
        """What was reported of the call."""
        row = self._session.exec(
            select(OutcomeRow).where(OutcomeRow.tenant == tenant, OutcomeRow.jti == jti)
        ).first()
        return None if row is None else Outcome(row.status, row.output_hash, row.created)

    def lapsing(self, *, now: int, limit: int) -> list[tuple[str, str]]:
        """(jti, txn) of approvals whose time has passed and of which that is not recorded yet.

        The cost is that of `limit` rows, however many were spent or have lapsed before.
        """
        rows = self._session.exec(
            select(ApprovalRow.jti, ApprovalRow.txn)
            .where(col(ApprovalRow.lapse_at) <= now)
            .order_by(col(ApprovalRow.lapse_at))
            .limit(limit)
        )
        return [(jti, txn) for jti, txn in rows]

    def lapse(self, jtis: Collection[str], *, now: int) -> list[IssuedApproval]:
        """Take those of these approvals that were not spent in time to `lapsed`; gives them.

        Whoever spends an approval locks its row. Rows that are locked now are passed over, and
        whether one was spent is asked once its lock is held: none is recorded as both.
        """
        rows = self._session.exec(
            select(ApprovalRow)
            .where(
                col(ApprovalRow.jti).in_(jtis),
                ApprovalRow.state == LIVE,
                col(ApprovalRow.lapse_at) <= now,
            )
            .order_by(col(ApprovalRow.jti))
            .with_for_update(skip_locked=True)
            .execution_options(populate_existing=True)
        ).all()
        held = [row.jti for row in rows]
        spent = frozenset(
            self._session.exec(select(SpendRow.jti).where(col(SpendRow.jti).in_(held)))
        )
        over = [row for row in rows if row.jti not in spent]
        change(self._session, *over, state=LAPSED, lapse_at=None)
        return [_issued(row) for row in over]

    def tokens(self) -> Iterator[tuple[str, str]]:
        """Iterate over every approval's id and token, of every tenant, a few at a time."""
        rows = self._session.execute(
            select_columns(col(ApprovalRow.jti), col(ApprovalRow.token)).execution_options(
                yield_per=500
            )
        )
        return ((jti, token) for jti, token in rows)


def _issued(row: ApprovalRow) -> IssuedApproval:
    return IssuedApproval(
        jti=row.jti,
        tenant=row.tenant,
        txn=row.txn,
        enforcer=row.enforcer,
        call_hash=row.call_hash,
        bundle=row.bundle,
        basis=row.basis,
        token=row.token,
        state=row.state,
        created=row.created,
        expires=row.expires,
    )
