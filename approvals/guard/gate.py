"""The way of one call past the service: ask, verify, spend, report."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar, cast

from approvals.client import Allowed, Pending, Refused, ServiceAway, ServiceError, plans
from approvals.core.errors import (
    AdmissionError,
    ApprovalRejected,
    CallError,
    ReceiptRejected,
)
from approvals.guard import outcomes
from approvals.guard.aftermath import aftermath
from approvals.guard.answers import not_asked, not_spent, refused_by_policy, token_of
from approvals.guard.environment import read_environment
from approvals.guard.keys import FetchedKeys
from approvals.guard.refusals import CallRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from approvals.client import AsyncClient, Client, Submitted
    from approvals.client.steps import Plan
    from approvals.core.calls import ToolCall
    from approvals.core.canonical import Json
    from approvals.core.receipt import Receipt
    from approvals.verifier import VerifiedApproval, Verifier

T = TypeVar("T")


class Verifies(Protocol):
    """What turns tokens into what they prove: `approvals.verifier.Verifier`."""

    def verify_askable(  # noqa: D102 - as the verifier's
        self,
        tool: str,
        *,
        now: int,
        user: str | None = None,
        audience: str | None = None,
        tenant: str | None = None,
    ) -> None: ...

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


@dataclass(slots=True)
class Asking:
    """How far asking for one call has come, so that it can be withdrawn.

    `sent` says that a submission may have reached the service under `key`, and `request_id` which
    request people were asked about, once that is known.
    """

    call: ToolCall
    key: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    sent: bool = False
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Guard:
    """For whom calls are made, and by what they are checked.

    `wait` is how long one call holds for people, in seconds, before it is parked. `async_client` is
    what coroutines use; left out, it is `client`'s own.
    """

    client: Client
    verifier: Verifies | FetchedKeys
    agent: str
    user: str
    task: str | None = None
    precondition: str | None = None
    explanation: str | None = None
    provenance: Mapping[str, Json] | None = None
    wait: float = 60.0
    clock: Callable[[], float] = time.time
    async_client: AsyncClient | None = None

    @classmethod
    def from_environment(cls) -> Guard:
        """Build a guard from `ASSENT_*` variables; see `approvals.guard.environment`.

        Raises:
            CallRefused: a variable or a file that it names is wrong (`configuration`).
        """
        found = read_environment()
        return cls(
            client=found.client,
            verifier=found.verifier,
            agent=found.agent,
            user=found.user,
            wait=found.wait,
        )

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

        Raises `CallRefused` or `CallParked`. The token is not verified yet. A wait that is
        interrupted withdraws the request.
        """
        asking = Asking(call)
        try:
            return self.client.run(self._asking(asking))
        except Exception:
            raise
        except BaseException:
            self._withdraw(asking)
            raise

    def spend(self, token: str, call: ToolCall) -> Spent:
        """Verify `token` for `call`, the one about to run, and spend it.

        Raises `CallRefused`; a return means that the call may run, once.
        """
        return self.client.run(self._spending(token, call))

    def report_ok(self, spent: Spent, output: object) -> None:
        """Report that the call ran; `output` is told as a hash, and only where it is JSON.

        Never raises: what ran has run, and its result is the caller's. What could not be reported
        is logged.
        """
        self._report(spent, status="ok", output_hash=outcomes.digest_of(output))

    def report_error(self, spent: Spent) -> None:
        """Report that the call ran and failed; what the failure says is not told. Never raises."""
        self._report(spent, status="error", output_hash=None)

    async def ask_async(self, call: ToolCall) -> str:
        """As `ask`, for coroutines: a task that is cancelled goes at once, and withdraws."""
        asking = Asking(call)
        try:
            return await self._asynchronous().run(self._asking(asking))
        except Exception:
            raise
        except BaseException:
            self._withdraw(asking)
            raise

    async def spend_async(self, token: str, call: ToolCall) -> Spent:
        """As `spend`, for coroutines."""
        return await self._asynchronous().run(self._spending(token, call))

    async def report_ok_async(self, spent: Spent, output: object) -> None:
        """As `report_ok`, for coroutines."""
        await self._report_async(spent, status="ok", output_hash=outcomes.digest_of(output))

    async def report_error_async(self, spent: Spent) -> None:
        """As `report_error`, for coroutines."""
        await self._report_async(spent, status="error", output_hash=None)

    def _asynchronous(self) -> AsyncClient:
        given, own = self.async_client, self.client
        if given is not None:
            if (given.url, given.enforcer, given.tenant) != (own.url, own.enforcer, own.tenant):
                raise CallRefused(
                    "another service, enforcer or tenant than the client's",
                    reason="configuration",
                    place="async_client",
                )
            return given
        try:
            return self.client.asynchronous()
        except ValueError as error:
            raise CallRefused(
                f"coroutines cannot be guarded: {error}",
                reason="configuration",
                place="async_client",
            ) from error

    def _verifying_askable(self, tool: str) -> Plan[None]:
        """Refuse what could not be verified once people have approved: they would be asked in vain.

        Each time, since what is pinned grows old.
        """

        def verify(verifier: Verifies) -> None:
            verifier.verify_askable(
                tool,
                now=int(self.clock()),
                user=self.user,
                audience=self.client.enforcer,
                tenant=self.client.tenant,
            )

        try:
            yield from self._with_keys(verify)
        except ApprovalRejected as error:
            raise CallRefused(
                f"nobody was asked, since no approval could hold here: {error.message} "
                f"[{error.reason}]",
                reason=error.reason,
                place=error.place,
            ) from error

    def _asking(self, asking: Asking) -> Plan[str]:
        yield from self._verifying_askable(asking.call.tool)
        try:
            asking.sent = True
            submitted = yield from self._submission(asking)
            match submitted:
                case Allowed(approval=token):
                    asking.sent = False
                    return token
                case Refused():
                    asking.sent = False
                    raise refused_by_policy(submitted, agent=self.agent, user=self.user)
                case Pending():
                    asking.request_id = submitted.id
                    return token_of((yield from plans.wait(submitted.id, timeout=self.wait)))
        except (ServiceAway, ServiceError, AdmissionError, CallError) as error:
            raise not_asked(error) from error

    def _submission(self, asking: Asking) -> Plan[Submitted]:
        return plans.submit(
            asking.call,
            agent=self.agent,
            user=self.user,
            task=self.task,
            precondition=self.precondition,
            explanation=self.explanation,
            provenance=self.provenance,
            idempotency_key=asking.key,
        )

    def _withdraw(self, asking: Asking) -> None:
        if asking.sent:
            what = f"withdrawing {asking.request_id or 'a call that was being submitted'}"
            aftermath.leave(what, lambda: self.client.run(self._withdrawing(asking)))

    def _withdrawing(self, asking: Asking) -> Plan[None]:
        name = asking.request_id
        if name is None:
            # The same key finds what the interrupted submission opened.
            submitted = yield from self._submission(asking)
            name = submitted.id if isinstance(submitted, Pending) else None
        if name is not None:
            yield from plans.cancel(name)

    def _spending(self, token: str, call: ToolCall) -> Plan[Spent]:
        verifier, verified = yield from self._verifying(token, call)
        # Spending repeats only under this use_id, made here and kept by nobody: a second process,
        # or this one after a restart, gets a conflict and never a second run.
        use_id = secrets.token_urlsafe(24)
        try:
            receipt = yield from plans.consume(
                verified.jti, call_hash=verified.call_hash, use_id=use_id
            )
        except ServiceAway as error:
            raise not_spent(error) from error
        except ServiceError as error:
            raise CallRefused(
                f"the approval could not be spent: {error} [{error.code}]", reason=error.code
            ) from error
        try:
            yield from self._verifying_receipt(receipt, verified, verifier, use_id=use_id)
        except ReceiptRejected as error:
            raise CallRefused(
                f"what the service answered is no receipt: {error.message}; the call did not run",
                reason=error.code,
                place=error.place,
            ) from error
        return Spent(jti=verified.jti, call_hash=verified.call_hash)

    def _verifying(self, token: str, call: ToolCall) -> Plan[tuple[Verifies, VerifiedApproval]]:
        def verify(verifier: Verifies) -> VerifiedApproval:
            return verifier.verify(
                token,
                call,
                now=int(self.clock()),
                agent=self.agent,
                user=self.user,
                precondition=self.precondition,
            )

        try:
            return (yield from self._with_keys(verify))
        except ApprovalRejected as error:
            raise CallRefused(
                f"the approval does not hold for this call: {error} [{error.reason}]",
                reason=error.reason,
            ) from error

    def _with_keys(self, verify: Callable[[Verifies], T]) -> Plan[tuple[Verifies, T]]:
        """What `verify` returns, and the verifier that it took: with newer keys if it needs them.

        Raises `ApprovalRejected` as `verify` does, and `CallRefused` where no keys can be had.
        """
        if not isinstance(self.verifier, FetchedKeys):
            return self.verifier, verify(self.verifier)
        known: Verifies = yield from self.verifier.current()
        try:
            return known, verify(known)
        except ApprovalRejected as error:
            newer = yield from self._with_newer_keys(known, error.reason)
            if newer is None:
                raise
            return newer, verify(newer)

    def _verifying_receipt(
        self, receipt: str, verified: VerifiedApproval, verifier: Verifies, *, use_id: str
    ) -> Plan[None]:
        try:
            verifier.verify_receipt(receipt, verified, use_id=use_id)
        except ReceiptRejected as error:
            # Keys may have been rotated between the approval and its spending.
            newer = yield from self._with_newer_keys(verifier, error.reason)
            if newer is None:
                raise
            newer.verify_receipt(receipt, verified, use_id=use_id)

    def _with_newer_keys(self, known: Verifies, reason: str) -> Plan[Verifies | None]:
        if reason != "unknown_key" or not isinstance(self.verifier, FetchedKeys):
            return None
        return (yield from self.verifier.newer(cast("Verifier", known)))

    def _report(
        self, spent: Spent, *, status: Literal["ok", "error"], output_hash: str | None
    ) -> None:
        try:
            self.client.run(plans.report(spent.jti, status=status, output_hash=output_hash))
        except Exception as error:  # noqa: BLE001 - the last wall: a failure here would stand in the place of what the function returned or raised, and invite a second run
            outcomes.unreported(spent.jti, status, error)

    async def _report_async(
        self, spent: Spent, *, status: Literal["ok", "error"], output_hash: str | None
    ) -> None:
        plan = plans.report(spent.jti, status=status, output_hash=output_hash)
        try:
            await self._asynchronous().run(plan)
        except Exception as error:  # noqa: BLE001 - the last wall, as in `_report`
            outcomes.unreported(spent.jti, status, error)
        except BaseException:
            # Cancelled while reporting: the task goes, the report is made all the same.
            aftermath.leave(
                f"reporting the outcome of {spent.jti}",
                lambda: self._report(spent, status=status, output_hash=output_hash),
            )
            raise
