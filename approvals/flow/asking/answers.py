"""The answer to a submitted call: its forms, and how it is given again.

What holds: the same `Idempotency-Key` with the same body gets the same answer; with another body,
an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, assert_never

import orjson

from approvals.core.errors import Conflict, Invalid
from approvals.flow.status import RequestStatus, status_of

if TYPE_CHECKING:
    from approvals.core.canonical import Json
    from approvals.flow.acting.caller import Caller, Submission
    from approvals.flow.service import Service
    from approvals.store import Tx


@dataclass(frozen=True, slots=True)
class Allowed:
    """Policy let the call through by itself: `approval` is the token to verify and spend."""

    id: str
    approval: str


@dataclass(frozen=True, slots=True)
class Denied:
    """Policy refused the call, or people are not asked about it now.

    `retry_after` is in how many seconds asking again may lead to another answer; None: not by time.
    `status` is of the caller's own request in which a person denied this very call a short time
    ago. It is read anew for each answer, and only the request's id is kept of it.
    """

    id: str
    code: str
    rules: tuple[str, ...]
    reasons: tuple[str, ...]
    retry_after: int | None = None
    status: RequestStatus | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """People are asked. `kept` says whether this call has a verdict of its own in the log."""

    id: str
    status: RequestStatus
    kept: bool = True


Answer = Allowed | Denied | Opened

OUTCOMES: Final = {Allowed: "allow", Denied: "deny", Opened: "escalate"}
"""What a verdict keeps as its outcome. Its record says what policy wanted, which may differ."""


def written(answer: Answer, *, now: int) -> str:
    """The JSON text of an answer, as a verdict keeps it. Times in it are absolute."""
    document: dict[str, Json]
    match answer:
        case Allowed() | Opened():
            document = {"id": answer.id}
        case Denied():
            document = {
                "id": answer.id,
                "code": answer.code,
                "rules": list(answer.rules),
                "reasons": list(answer.reasons),
                "retry_at": None if answer.retry_after is None else now + answer.retry_after,
                "request": None if answer.status is None else answer.status.id,
            }
        case _:
            assert_never(answer)
    return orjson.dumps(document).decode()


def known(tx: Tx, caller: Caller, submission: Submission) -> tuple[str, str] | None:
    """The body and the verdict that the submission's `Idempotency-Key` stands for, if any."""
    if submission.idempotency_key is None:
        return None
    return tx.verdicts.known_key(
        tenant=caller.tenant, enforcer=caller.enforcer, key=submission.idempotency_key
    )


def again(
    service: Service, tx: Tx, caller: Caller, submission: Submission, first: tuple[str, str]
) -> Answer:
    """Answer a repeated `Idempotency-Key` as it was answered the first time.

    Raises:
        Invalid: the body is another one (`idempotency_mismatch`).
        Conflict: what the first submission led to is missing.
    """
    body_digest, verdict_id = first
    if body_digest != submission.body_digest:
        raise Invalid(
            "this key was used for another body",
            code="idempotency_mismatch",
            place="Idempotency-Key",
        )
    verdict = tx.verdicts.get(tenant=caller.tenant, verdict_id=verdict_id)
    if verdict is None:
        raise Conflict("the first submission with this Idempotency-Key did not finish")
    told = orjson.loads(verdict.answer)
    match verdict.outcome:
        case "allow":
            approval = tx.approvals.of(tenant=caller.tenant, txn=verdict_id)
            if approval is None:
                raise Conflict("the approval of this submission is missing")
            return Allowed(told["id"], approval.token)
        case "deny":
            retry_at = told.get("retry_at")
            return Denied(
                told["id"],
                told["code"],
                tuple(told["rules"]),
                tuple(told["reasons"]),
                None if retry_at is None else max(0, retry_at - tx.now),
                status_in(service, tx, caller, told["request"]),
            )
        case _:
            stored = tx.requests.get(tenant=caller.tenant, request_id=told["id"])
            if stored is None:
                raise Conflict("the request of this submission is missing")
            return Opened(told["id"], status_of(service, tx, stored))


def status_in(
    service: Service, tx: Tx, caller: Caller, request_id: str | None
) -> RequestStatus | None:
    """The status of the caller's own request, as it is in this transaction."""
    if request_id is None:
        return None
    stored = tx.requests.get(tenant=caller.tenant, request_id=request_id)
    return None if stored is None else status_of(service, tx, stored)
