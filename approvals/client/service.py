"""The service's routes as methods, one thing sent and one value returned."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Final, Literal, Protocol, Self

from approvals.client.answers import MAX_ANSWER, Answer
from approvals.client.errors import ServiceAway, ServiceError
from approvals.client.outcomes import (
    Allowed,
    Approved,
    Cancelled,
    Denied,
    Expired,
    Outcome,
    Pending,
    Refused,
    Revoked,
    Submitted,
)
from approvals.client.transport import ATTEMPTS, FIRST_PAUSE, Transport, segment
from approvals.core import jws, sizes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import httpx2

    from approvals.core.calls import ToolCall
    from approvals.core.canonical import Json
    from approvals.core.receipt import Receipt
    from approvals.verifier import VerifiedApproval

CALLER_TOKEN_LIFE: Final = 300
MAX_HOLD: Final = 60
"""The longest the service holds one request, in seconds; a longer wait is several requests."""

_RENEW_BEFORE: Final = 60


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


class Client:
    """One enforcer's connection to one service. Safe to share between threads."""

    def __init__(
        self,
        url: str,
        *,
        enforcer: str,
        key: Mapping[str, Json],
        tenant: str = "default",
        http: httpx2.Client | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Prepare, without connecting; `url` is the service's issuer, `key` a private JWK.

        Raises `ValueError` for an address to which a token would travel in the clear, and
        `KeySetError` for a key that cannot sign.
        """
        self._transport = Transport(url, http=http)
        self.url = self._transport.url
        self.enforcer = enforcer
        self.tenant = tenant
        self._key = jws.SigningKey.from_jwk(key)
        self._clock = clock
        self._token: tuple[str, float] = ("", 0.0)

    def close(self) -> None:
        """Give the connections back."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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
        optional: dict[str, Json] = {
            "task": task,
            "precondition": precondition,
            "explanation": explanation,
            "provenance": None if provenance is None else dict(provenance),
        }
        body: dict[str, Json] = {
            "call": {"target": call.target, "tool": call.tool, "args": call.args},
            "agent": agent,
            "user": user,
        }
        body |= {name: value for name, value in optional.items() if value is not None}
        answer = Answer.parse(
            self._send(
                "POST",
                "/v1/calls",
                body=body,
                expected=(200, 202),
                headers={} if idempotency_key is None else {"Idempotency-Key": idempotency_key},
                attempts=1 if idempotency_key is None else ATTEMPTS,
            )
        )
        match answer.text("decision"):
            case "allow":
                return Allowed(id=answer.text("id"), approval=answer.text("approval"))
            case "deny":
                return Refused(
                    id=answer.text("id"),
                    code=answer.text("code"),
                    rules=answer.texts("rules"),
                    reasons=answer.texts("reasons"),
                    retry_after=answer.number_or_none("retry_after"),
                )
            case "escalate":
                request = answer.inner("request")
                return Pending(
                    id=request.text("id"),
                    url=request.text("url"),
                    expires=request.number("expires"),
                )
            case _:
                raise answer.unlike("decision")

    def look(self, request_id: str, *, wait: int = 0) -> Outcome:
        """What became of a request, holding up to `wait` ≤ 60 seconds for a decision."""
        held = max(0, min(wait, MAX_HOLD))
        path = f"/v1/requests/{segment(request_id)}"
        raw = self._send(
            "GET", f"{path}?wait={held}" if held else path, expected=(200,), hold=float(held)
        )
        answer = Answer.parse(raw)
        name = answer.text("id")
        match answer.text("state"):
            case "pending":
                return Pending(id=name, url=answer.text("url"), expires=answer.number("expires"))
            case "approved":
                return Approved(id=name, token=answer.text("approval"))
            case "denied":
                denied = answer.inner("denied")
                return Denied(
                    id=name,
                    by=denied.text("by"),
                    reason=denied.text_or_none("reason"),
                    retry_after=denied.number_or_none("retry_after"),
                )
            case "expired":
                return Expired(id=name)
            case "cancelled":
                return Cancelled(id=name)
            case "revoked":
                return Revoked(id=name)
            case _:
                raise answer.unlike("state")

    def wait(self, request_id: str, *, timeout: float) -> Outcome:
        """Wait up to `timeout` seconds for a decision; `Pending` means that there is none yet.

        A service that goes away meanwhile is asked again until the time is over; only then is it
        `ServiceAway`.
        """
        end = time.monotonic() + timeout
        pause = FIRST_PAUSE
        while True:
            left = end - time.monotonic()
            try:
                outcome = self.look(request_id, wait=int(left))
            except ServiceAway:
                if left <= pause:
                    raise
            else:
                if not isinstance(outcome, Pending) or left <= pause:
                    return outcome
                pause = FIRST_PAUSE
            # A service that does not hold the connection is not asked in a tight loop.
            time.sleep(pause)
            pause = min(pause * 2, 5.0)

    def consume(
        self, approval: VerifiedApproval, *, verifier: VerifiesReceipts, use_id: str
    ) -> Receipt:
        """Spend an approval and return the receipt, once `verifier` has found that it is one.

        The same `use_id` again gets the same receipt. Raises `ReceiptRejected` for an answer that
        is no receipt for this use: the call must not run then, whatever the status was.
        """
        raw = self._send(
            "POST",
            f"/v1/approvals/{segment(approval.jti)}/consume",
            body={"call_hash": approval.call_hash, "use_id": use_id},
            expected=(200,),
            attempts=ATTEMPTS,
        )
        return verifier.verify_receipt(Answer.parse(raw).text("receipt"), approval, use_id=use_id)

    def report(
        self, jti: str, *, status: Literal["ok", "error"], output_hash: str | None = None
    ) -> None:
        """Tell what became of the call that the approval was spent on."""
        body: dict[str, Json] = {"status": status}
        if output_hash is not None:
            body["output_hash"] = output_hash
        self._send("POST", f"/v1/approvals/{segment(jti)}/outcome", body=body, expected=(204,))

    def cancel(self, request_id: str) -> None:
        """Withdraw a request that nobody has decided."""
        self._send("POST", f"/v1/requests/{segment(request_id)}/cancel", expected=(200,))

    def evidence(self, request_id: str) -> bytes:
        """Fetch the evidence file of a request, byte for byte as `assent verify` takes it."""
        return self._send(
            "GET",
            f"/v1/requests/{segment(request_id)}/evidence",
            expected=(200,),
            attempts=ATTEMPTS,
            limit=sizes.EVIDENCE,
        )

    def jwks(self) -> dict[str, Json]:
        """Fetch the keys that the service signs approvals with."""
        # Keys are public: no token is shown where none is needed.
        raw = self._transport.send(
            "GET", "/.well-known/jwks.json", expected=(200,), attempts=ATTEMPTS
        )
        return Answer.parse(raw).members

    def directory(self) -> str:
        """Fetch the signed directory of approvers' keys, as a token."""
        raw = self._send(
            "GET",
            "/v1/people/keys",
            expected=(200,),
            attempts=ATTEMPTS,
            limit=sizes.DIRECTORY,
        )
        try:
            return raw.decode("ascii")
        except UnicodeDecodeError as error:
            raise ServiceError("the directory is not a token", code="answer", status=200) from error

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

    def _send(
        self,
        method: str,
        path: str,
        *,
        expected: tuple[int, ...],
        body: Mapping[str, Json] | None = None,
        headers: Mapping[str, str] | None = None,
        attempts: int = 1,
        hold: float = 0.0,
        limit: int = MAX_ANSWER,
    ) -> bytes:
        """Send one request as this enforcer."""
        return self._transport.send(
            method,
            path,
            expected=expected,
            body=body,
            headers={"Authorization": f"Bearer {self._bearer()}", **(headers or {})},
            attempts=attempts,
            hold=hold,
            limit=limit,
        )
