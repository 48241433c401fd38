"""The service over HTTP, for an enforcer: submit a call, wait, spend the approval, report.

Every method sends one thing and returns one value. An expected outcome is a value (`Allowed`,
`Refused`, `Pending`, `Approved`, `Denied` ...); a service that refuses the request itself
is a `ServiceError` with the service's stable code, and one that cannot be reached is
`ServiceAway`, or `OutcomeUnknown` where what was asked for may have been done. None of them ever
means that a call may run.

What holds: TLS unless the service is on this machine; no redirect is followed, because the bearer
token would go with it; every wait has an end; an answer is read up to a limit and parsed as
strictly as the service parses what it is sent. What is sent is safe to repeat, and is repeated
while the service is away: a submission carries an idempotency key, a consumption its `use_id`.

`Client` blocks; `AsyncClient` is the same for coroutines.

The caller's proof of identity is a short-lived JWT that it signs itself (RFC 7523, section 3).
"""

from approvals.client.errors import OutcomeUnknown, ServiceAway, ServiceError
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
from approvals.client.service import AsyncClient, Client, mint_token
from approvals.core.receipt import Receipt

__all__ = [
    "Allowed",
    "Approved",
    "AsyncClient",
    "Cancelled",
    "Client",
    "Denied",
    "Expired",
    "Outcome",
    "OutcomeUnknown",
    "Pending",
    "Receipt",
    "Refused",
    "Revoked",
    "ServiceAway",
    "ServiceError",
    "Submitted",
    "mint_token",
]
