"""The way of one call past the service: ask, verify, spend, report."""

from __future__ import annotations

import logging
import secrets
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, cast

from approvals.client import (
    Allowed,
    Approved,
    Cancelled,
    Denied,
    Expired,
    Pending,
    Refused,
    Revoked,
    ServiceAway,
    ServiceError,
)
from approvals.core import canonical
from approvals.core.errors import AdmissionError, ApprovalRejected, CallError, ReceiptRejected
from approvals.guard.refusals import CallParked, CallRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from approvals.client import Client, Outcome
    from approvals.core.calls import ToolCall
    from approvals.core.canonical import Json
    from approvals.core.receipt import Receipt
    from approvals.verifier import VerifiedApproval

_log = logging.getLogger("approvals.guard")


class Verifies(Protocol):
    """What turns a token and a call into a verified approval: `approvals.verifier.Verifier`."""

    def verify(  # noqa: D102 - as the verifier's
        self,
        token: str,
        call: ToolCall,
        *,
        now: int,
        agent: str | None = None,
        user: str | None = None,
        precondition: str | None = None,
    ) -> VerifiedApproval: ...

    def verify_receipt(  # noqa: D102 - as the verifier's
        self, token: str, approval: VerifiedApproval, *, use_id: str
    ) -> Receipt: ...


@dataclass(frozen=True, slots=True)
class Spent:
    """An approval that was verified and spent for one call, which may now run once."""

    jti: str
    call_hash: str


@dataclass(frozen=True, slots=True)
class Guard:
    """For whom calls are made, and by what they are checked.

    `wait` is how long one call holds for people, in seconds, before it is parked.
    """

    client: Client
    verifier: Verifies
    agent: str
    user: str
    task: str | None = None
    precondition: str | None = None
    explanation: str | None = None
    provenance: Mapping[str, Json] | None = None
    wait: float = 60.0
    clock: Callable[[], float] = time.time

    @classmethod
    def from_environment(cls) -> Guard:
        """Build a guard from `ASSENT_*` variables; see `approvals.guard.environment`."""
        from approvals.guard.environment import guard_from_environment  # noqa: PLC0415 - cycle

        return guard_from_environment()

    def acting(
        self,
        *,
        user: str | None = None,
        task: str | None = None,
        precondition: str | None = None,
        explanation: str | None = None,
    ) -> Guard:
        """This guard for another user, task, precondition or explanation."""
        return replace(
            self,
            user=self.user if user is None else user,
            task=self.task if task is None else task,
            precondition=self.precondition if precondition is None else precondition,
            explanation=self.explanation if explanation is None else explanation,
        )

    def ask(self, call: ToolCall) -> str:
        """Submit `call`, wait where people decide, and return the approval's token.

        Raises `CallRefused` or `CallParked`. The token is not verified yet.
        """
        try:
            submitted = self.client.submit(
                call,
                agent=self.agent,
                user=self.user,
                task=self.task,
                precondition=self.precondition,
                explanation=self.explanation,
                provenance=self.provenance,
                idempotency_key=secrets.token_urlsafe(24),
            )
            match submitted:
                case Allowed(approval=token):
                    return token
                case Refused():
                    raise _refused_by_policy(submitted)
                case Pending():
                    return _token_of(self.client.wait(submitted.id, timeout=self.wait))
        except (ServiceAway, ServiceError, AdmissionError, CallError) as error:
            raise _not_asked(error) from error

    def spend(self, token: str, call: ToolCall) -> Spent:
        """Verify `token` for `call`, the one about to run, and spend it.

        Raises `CallRefused`; a return means that the call may run, once.
        """
        try:
            verified = self.verifier.verify(
                token,
                call,
                now=int(self.clock()),
                agent=self.agent,
                user=self.user,
                precondition=self.precondition,
            )
        except ApprovalRejected as error:
            raise CallRefused(
                f"the approval does not hold for this call: {error} [{error.reason}]",
                reason=error.reason,
            ) from error
        try:
            # Spending repeats only under this use_id, made here and kept by nobody: a second
            # process, or this one after a restart, gets a conflict and never a second run.
            self.client.consume(verified, verifier=self.verifier, use_id=secrets.token_urlsafe(24))
        except ServiceAway as error:
            raise CallRefused(
                "the service went away while the approval was spent; the call did not run, "
                "make it again once the service is back",
                reason="service_away",
            ) from error
        except ReceiptRejected as error:
            raise CallRefused(
                f"what the service answered is no receipt: {error}; the call did not run",
                reason=error.code,
                place=error.place,
            ) from error
        except ServiceError as error:
            raise CallRefused(
                f"the approval could not be spent: {error} [{error.code}]", reason=error.code
            ) from error
        return Spent(jti=verified.jti, call_hash=verified.call_hash)

    def report_ok(self, spent: Spent, output: object) -> None:
        """Report that the call ran; `output` is told as a hash, and only where it is JSON."""
        self._report(spent, status="ok", output_hash=_digest_of(output))

    def report_error(self, spent: Spent) -> None:
        """Report that the call ran and failed; what the failure says is not told."""
        self._report(spent, status="error", output_hash=None)

    def _report(self, spent: Spent, *, status: str, output_hash: str | None) -> None:
        """Report, or log that it could not be: what ran has run, and its result is the caller's."""
        try:
            self.client.report(
                spent.jti, status="ok" if status == "ok" else "error", output_hash=output_hash
            )
        except (ServiceAway, ServiceError) as error:
            _log.warning("the outcome of %s was not reported: %s", spent.jti, error.code)


def _token_of(outcome: Outcome) -> str:
    match outcome:
        case Approved(token=token):
            return token
        case Pending(id=name, url=url, expires=expires):
            raise CallParked(request_id=name, url=url, expires=expires)
        case Denied(id=name, by=by, reason=reason, retry_after=retry_after):
            raise CallRefused(
                f"{by} denied {name}" + (f": {reason}" if reason else ""),
                reason="denied",
                request_id=name,
                comment=reason,
                retry_after=retry_after,
            )
        case Expired(id=name):
            raise CallRefused(
                f"nobody decided {name} in time; make the call again to ask again",
                reason="request_expired",
                request_id=name,
            )
        case Cancelled(id=name):
            raise CallRefused(
                f"{name} was withdrawn; make the call again to ask again",
                reason="request_cancelled",
                request_id=name,
            )
        case Revoked(id=name):
            raise CallRefused(
                f"the approval of {name} was revoked", reason="request_revoked", request_id=name
            )


def _refused_by_policy(refused: Refused) -> CallRefused:
    why = "; ".join(refused.reasons) or refused.code
    rules = f" (rules: {', '.join(refused.rules)})" if refused.rules else ""
    later = "" if refused.retry_after is None else f"; ask again in {refused.retry_after} seconds"
    return CallRefused(
        f"policy does not allow this call: {why}{later}{rules} [{refused.code}, {refused.id}]",
        reason="policy",
        place=refused.code,
        rules=refused.rules,
        retry_after=refused.retry_after,
    )


def _not_asked(error: ServiceAway | ServiceError | AdmissionError | CallError) -> CallRefused:
    match error:
        case ServiceAway():
            return CallRefused(
                f"{error}; nothing guarded runs while it is away", reason="service_away"
            )
        case ServiceError():
            return CallRefused(
                f"the service refused the request: {error} [{error.code}]",
                reason=error.code,
                place=error.place,
            )
        case _:
            return CallRefused(f"nothing was sent: {error}", reason="arguments", place=error.place)


def _digest_of(output: object) -> str | None:
    try:
        return canonical.digest(cast("Json", output))
    except AdmissionError:
        return None  # Not JSON: a hash of its repr would be nothing that anybody could check.
