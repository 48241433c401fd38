"""The service's routes as methods, one thing asked and one value returned."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Final, Literal, Protocol, Self, TypeVar

from approvals.client import plans
from approvals.client.steps import drive, drive_async
from approvals.client.transport import AsyncTransport, Transport
from approvals.core import jws
from approvals.core.addresses import urls

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import httpx2

    from approvals.client.outcomes import Outcome, Submitted
    from approvals.client.steps import Plan
    from approvals.core.calls import ToolCall
    from approvals.core.canonical import Json
    from approvals.core.receipt import Receipt
    from approvals.verifier import VerifiedApproval

CALLER_TOKEN_LIFE: Final = 300

_RENEW_BEFORE: Final = 60

T = TypeVar("T")


class VerifiesReceipts(Protocol):
    """What knows the service's keys: `approvals.verifier.Verifier`."""

    def verify_receipt(self, token: str, approval: VerifiedApproval, *, use_id: str) -> Receipt:
        """The receipt for this use of this approval, or `ReceiptRejected`."""
        ...


def mint_token(
    *,
    enforcer: str,
    key: jws.SigningKey | Mapping[str, Json],
    audience: str,
    now: int,
    tenant: str = "default",
) -> str:
    """Sign the bearer token by which `enforcer` is known to the service at `audience`.

    `key` is its private JWK. The token lives five minutes from `now` (Unix seconds).
    """
    claims: dict[str, Json] = {
        "iss": enforcer,
        "sub": enforcer,
        "aud": audience,
        "iat": now,
        "nbf": now,
        "exp": now + CALLER_TOKEN_LIFE,
        "jti": secrets.token_urlsafe(16),
        "tenant": tenant,
    }
    return jws.sign(claims, key=key, typ="JWT")


class _Enforcer:
    """Who asks, and the bearer token that says so."""

    def __init__(
        self,
        url: str,
        *,
        enforcer: str,
        key: Mapping[str, Json] | jws.SigningKey,
        tenant: str,
        clock: Callable[[], float],
    ) -> None:
        self.url = urls.origin(url).origin
        self.enforcer = enforcer
        self.tenant = tenant
        self._key = key if isinstance(key, jws.SigningKey) else jws.SigningKey.from_jwk(key)
        self._clock = clock
        self._token: tuple[str, float] = ("", 0.0)

    def _bearer(self) -> str:
        """A token with a good while to live, signing a new one only when it is needed."""
        token, renew_at = self._token
        now = self._clock()
        if now >= renew_at or now < renew_at - CALLER_TOKEN_LIFE:
            token = mint_token(
                enforcer=self.enforcer,
                key=self._key,
                audience=self.url,
                now=int(now),
                tenant=self.tenant,
            )
            self._token = (token, now + CALLER_TOKEN_LIFE - _RENEW_BEFORE)
        return token


class Client(_Enforcer):
    """One enforcer's connection to one service. Safe to share between threads and over a fork."""

    def __init__(
        self,
        url: str,
        *,
        enforcer: str,
        key: Mapping[str, Json] | jws.SigningKey,
        tenant: str = "default",
        http: httpx2.Client | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Prepare, without connecting; `url` is the service's issuer, `key` a private JWK.

        Raises `ValueError` for an address to which a token would travel in the clear, and
        `KeySetError` for a key that cannot sign.
        """
        super().__init__(url, enforcer=enforcer, key=key, tenant=tenant, clock=clock)
        self._transport = Transport(url, http=http, bearer=self._bearer)
        self._http_given = http is not None
        self._asynchronous: AsyncClient | None = None

    def close(self) -> None:
        """Give the connections back."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def asynchronous(self) -> AsyncClient:
        """The same enforcer's client for coroutines.

        Raises `ValueError` where this client was given its own HTTP client: what that one was set
        up for, such as a certificate authority, would be missing.
        """
        if self._http_given:
            raise ValueError(
                "this client has an HTTP client of its own; give the guard an AsyncClient too"
            )
        if self._asynchronous is None:
            self._asynchronous = AsyncClient(
                self.url,
                enforcer=self.enforcer,
                key=self._key,
                tenant=self.tenant,
                clock=self._clock,
            )
        return self._asynchronous

    def run(self, plan: Plan[T]) -> T:
        """Perform a plan, blocking."""
        return drive(plan, self._transport.perform)

    def submit(
        self,
        call: ToolCall,
        *,
        agent: str,
        user: str,
        task: str | None = None,
        precondition: str | None = None,
        explanation: str | None = None,
        provenance: Mapping[str, Json] | None = None,
        idempotency_key: str | None = None,
    ) -> Submitted:
        """Ask whether `call` may run for `user` at `agent`'s wish."""
        return self.run(
            plans.submit(
                call,
                agent=agent,
                user=user,
                task=task,
                precondition=precondition,
                explanation=explanation,
                provenance=provenance,
                idempotency_key=idempotency_key,
            )
        )

    def look(self, request_id: str, *, wait: int = 0) -> Outcome:
        """What became of a request, holding up to `wait` ≤ 60 seconds for a decision."""
        return self.run(plans.look(request_id, wait=wait))

    def wait(self, request_id: str, *, timeout: float) -> Outcome:
        """Wait up to `timeout` seconds for a decision; `Pending` means that there is none yet.

        A service that goes away meanwhile is asked again until the time is over; only then is it
        `ServiceAway`.
        """
        return self.run(plans.wait(request_id, timeout=timeout))

    def consume(
        self, approval: VerifiedApproval, *, verifier: VerifiesReceipts, use_id: str
    ) -> Receipt:
        """Spend an approval and return the receipt, once `verifier` has found that it is one.

        The same `use_id` again gets the same receipt. Raises `ReceiptRejected` for an answer that
        is no receipt for this use: the call must not run then, whatever the status was.
        """
        token = self.run(plans.consume(approval.jti, call_hash=approval.call_hash, use_id=use_id))
        return verifier.verify_receipt(token, approval, use_id=use_id)

    def report(
        self, jti: str, *, status: Literal["ok", "error"], output_hash: str | None = None
    ) -> None:
        """Tell what became of the call that the approval was spent on."""
        self.run(plans.report(jti, status=status, output_hash=output_hash))

    def cancel(self, request_id: str) -> None:
        """Withdraw a request that nobody has decided."""
        self.run(plans.cancel(request_id))

    def evidence(self, request_id: str) -> bytes:
        """Fetch the evidence file of a request, byte for byte as `assent verify` takes it."""
        return self.run(plans.evidence(request_id))

    def jwks(self) -> dict[str, Json]:
        """Fetch the keys that the service signs with."""
        return self.run(plans.jwks())

    def jwks_history(self) -> dict[str, Json]:
        """Fetch every key that the service signs with or ever did: what to pin."""
        return self.run(plans.jwks_history())

    def directory(self) -> str:
        """Fetch the signed directory of approvers' keys, as a token."""
        return self.run(plans.directory())


class AsyncClient(_Enforcer):
    """As `Client`, for coroutines: a wait holds a connection and no thread.

    It may be used on several event loops; each has connections of its own, which end with it.
    """

    def __init__(
        self,
        url: str,
        *,
        enforcer: str,
        key: Mapping[str, Json] | jws.SigningKey,
        tenant: str = "default",
        http: httpx2.AsyncClient | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Prepare, without connecting. Raises as `Client` does."""
        super().__init__(url, enforcer=enforcer, key=key, tenant=tenant, clock=clock)
        self._transport = AsyncTransport(url, http=http, bearer=self._bearer)

    async def close(self) -> None:
        """Give the connections of this event loop back."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def run(self, plan: Plan[T]) -> T:
        """Perform a plan on the running event loop."""
        return await drive_async(plan, self._transport.perform)

    async def submit(
        self,
        call: ToolCall,
        *,
        agent: str,
        user: str,
        task: str | None = None,
        precondition: str | None = None,
        explanation: str | None = None,
        provenance: Mapping[str, Json] | None = None,
        idempotency_key: str | None = None,
    ) -> Submitted:
        """Ask whether `call` may run for `user` at `agent`'s wish."""
        return await self.run(
            plans.submit(
                call,
                agent=agent,
                user=user,
                task=task,
                precondition=precondition,
                explanation=explanation,
                provenance=provenance,
                idempotency_key=idempotency_key,
            )
        )

    async def look(self, request_id: str, *, wait: int = 0) -> Outcome:
        """What became of a request, holding up to `wait` ≤ 60 seconds for a decision."""
        return await self.run(plans.look(request_id, wait=wait))

    async def wait(self, request_id: str, *, timeout: float) -> Outcome:  # noqa: ASYNC109 - as `Client.wait`: what is left of it is told to the service
        """Wait up to `timeout` seconds for a decision; `Pending` means that there is none yet."""
        return await self.run(plans.wait(request_id, timeout=timeout))

    async def consume(
        self, approval: VerifiedApproval, *, verifier: VerifiesReceipts, use_id: str
    ) -> Receipt:
        """Spend an approval and return the receipt, verified, as `Client.consume` does."""
        token = await self.run(
            plans.consume(approval.jti, call_hash=approval.call_hash, use_id=use_id)
        )
        return verifier.verify_receipt(token, approval, use_id=use_id)

    async def report(
        self, jti: str, *, status: Literal["ok", "error"], output_hash: str | None = None
    ) -> None:
        """Tell what became of the call that the approval was spent on."""
        await self.run(plans.report(jti, status=status, output_hash=output_hash))

    async def cancel(self, request_id: str) -> None:
        """Withdraw a request that nobody has decided."""
        await self.run(plans.cancel(request_id))

    async def evidence(self, request_id: str) -> bytes:
        """Fetch the evidence file of a request, byte for byte as `assent verify` takes it."""
        return await self.run(plans.evidence(request_id))

    async def jwks(self) -> dict[str, Json]:
        """Fetch the keys that the service signs with."""
        return await self.run(plans.jwks())

    async def jwks_history(self) -> dict[str, Json]:
        """Fetch every key that the service signs with or ever did: what to pin."""
        return await self.run(plans.jwks_history())

    async def directory(self) -> str:
        """Fetch the signed directory of approvers' keys, as a token."""
        return await self.run(plans.directory())
