"""The answers of policy, and the `Idempotency-Key`s that they are answers to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, delete, literal_column, union_all
from sqlalchemy import select as select_columns
from sqlmodel import col

from approvals.store.rows.calls import ApprovalRow, IdempotencyRow, RequestRow, VerdictRow
from approvals.store.rows.log import ChainRow
from approvals.store.seals import add, add_new

if TYPE_CHECKING:
    from sqlalchemy import CompoundSelect
    from sqlmodel import Session


@dataclass(frozen=True, slots=True)
class VerdictRecord:
    """One answer of policy: `answer` is what the caller was told, `record` what replays it."""

    id: str
    tenant: str
    enforcer: str
    agent: str
    person: str
    target: str
    tool: str
    call_hash: str
    bundle: str
    outcome: str
    answer: str
    record: str
    created: int


class Verdicts:
    """The verdicts of a transaction. Every method is bound to a tenant by argument."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def known_key(self, *, tenant: str, enforcer: str, key: str) -> tuple[str, str] | None:
        """The first (body digest, verdict id) of an `Idempotency-Key` that was claimed before."""
        row = self._session.get(IdempotencyRow, (tenant, enforcer, key))
        return None if row is None else (row.body_digest, row.verdict)

    def claim_key(
        self, *, tenant: str, enforcer: str, key: str, body_digest: str, verdict: str, now: int
    ) -> tuple[str, str] | None:
        """Claim an `Idempotency-Key`: None if it is new, else its first (body digest, verdict id).

        A concurrent claim of the same key waits for this transaction, so one of them is the first.
        """
        values = {
            "tenant": tenant,
            "enforcer": enforcer,
            "key": key,
            "body_digest": body_digest,
            "verdict": verdict,
            "created": now,
        }
        if add_new(self._session, IdempotencyRow, values):
            return None
        row = self._session.get_one(IdempotencyRow, (tenant, enforcer, key))
        return row.body_digest, row.verdict

    def begun(self, *, tenant: str, occasion: str) -> bool:
        """Whether anything is stored of an occasion: verdict, request, approval or event."""
        values = {"verdict": f"vrd_{occasion}", "request": f"req_{occasion}"}
        found = self._session.connection().execute(
            _BEGUN, {**values, "approval": f"apr_{occasion}", "tenant": tenant}
        )
        return found.first() is not None

    def release_key(self, *, tenant: str, enforcer: str, key: str) -> None:
        """Give back what this transaction claimed: nothing is kept of the call."""
        self._session.execute(
            delete(IdempotencyRow).where(
                col(IdempotencyRow.tenant) == tenant,
                col(IdempotencyRow.enforcer) == enforcer,
                col(IdempotencyRow.key) == key,
            )
        )

    def add_verdict(self, verdict: VerdictRecord) -> None:
        """Store a verdict."""
        values = {name: getattr(verdict, name) for name in VerdictRecord.__slots__}
        add(self._session, VerdictRow, values)

    def get(self, *, tenant: str, verdict_id: str) -> VerdictRecord | None:
        """The verdict with this id."""
        row = self._session.get(VerdictRow, verdict_id)
        if row is None or row.tenant != tenant:
            return None
        return VerdictRecord(**{name: getattr(row, name) for name in VerdictRecord.__slots__})


_BEGUN: Final[CompoundSelect[tuple[int]]] = union_all(
    select_columns(literal_column("1")).where(col(VerdictRow.id) == bindparam("verdict")),
    select_columns(literal_column("1")).where(col(RequestRow.id) == bindparam("request")),
    select_columns(literal_column("1")).where(col(ApprovalRow.jti) == bindparam("approval")),
    select_columns(literal_column("1")).where(
        col(ChainRow.tenant) == bindparam("tenant"),
        col(ChainRow.subject).in_([bindparam("verdict"), bindparam("request")]),
    ),
)
