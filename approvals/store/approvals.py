"""Issued approvals, their spending and what became of the calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import case, literal, update
from sqlalchemy import select as select_columns
from sqlmodel import col, select

from approvals.store.rows import ApprovalRow, OutcomeRow, SpendRow
from approvals.store.statements import changed, insert_new, insert_new_from, insert_row

if TYPE_CHECKING:
    from sqlmodel import Session

LIVE = "live"
SPENT = "spent"


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
        insert_row(self._session, ApprovalRow, values)

    def get(self, *, tenant: str, jti: str, lock: bool = False) -> IssuedApproval | None:
        """The approval with this id. With `lock`, it is spent or ended here or not at all."""
        query = select(ApprovalRow).where(ApprovalRow.tenant == tenant, ApprovalRow.jti == jti)
        if lock:
            query = query.with_for_update()
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
        source = select_columns(
            col(ApprovalRow.jti),
            literal(tenant),
            literal(spend.use_id),
            literal(spend.receipt),
            literal(spend.created),
        ).where(
            col(ApprovalRow.jti) == spend.jti,
            col(ApprovalRow.tenant) == tenant,
            col(ApprovalRow.enforcer) == enforcer,
            col(ApprovalRow.call_hash) == call_hash,
            col(ApprovalRow.state) == LIVE,
            col(ApprovalRow.expires) > spend.created,
        )
        columns = ["jti", "tenant", "use_id", "receipt", "created"]
        return insert_new_from(self._session, SpendRow, columns, source)

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
        return insert_new(self._session, OutcomeRow, values)

    def outcome(self, *, tenant: str, jti: str) -> Outcome | None:
        """What was reported of the call."""
        row = self._session.exec(
            select(OutcomeRow).where(OutcomeRow.tenant == tenant, OutcomeRow.jti == jti)
        ).first()
        return None if row is None else Outcome(row.status, row.output_hash, row.created)

    def lapsing(self, *, now: int, limit: int) -> list[IssuedApproval]:
        """Live approvals whose time has passed without their having been spent."""
        rows = self._session.exec(
            select(ApprovalRow)
            .outerjoin(SpendRow, col(SpendRow.jti) == col(ApprovalRow.jti))
            .where(
                ApprovalRow.state == LIVE,
                ApprovalRow.expires <= now,
                col(SpendRow.jti).is_(None),
            )
            .order_by(col(ApprovalRow.expires))
            .limit(limit)
        )
        return [_issued(row) for row in rows]

    def states(self) -> dict[str, str]:
        """The state of every approval of every tenant, by its id: spent, or that of its row."""
        rows = self._session.execute(
            select_columns(
                col(ApprovalRow.jti),
                case((col(SpendRow.jti).is_not(None), SPENT), else_=col(ApprovalRow.state)),
            ).outerjoin(SpendRow, col(SpendRow.jti) == col(ApprovalRow.jti))
        )
        return dict(iter(rows))

    def end(self, jti: str, *, state: str) -> bool:
        """Take a live approval to another state. True for the one who did."""
        result = self._session.execute(
            update(ApprovalRow)
            .where(col(ApprovalRow.jti) == jti, col(ApprovalRow.state) == LIVE)
            .values(state=state)
        )
        return changed(result) == 1


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
