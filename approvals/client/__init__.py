"""The service over HTTP, for an enforcer: submit a call, wait, spend the approval, report.

Every method sends one thing and returns one value. An expected outcome is a value (`Allowed`,
`Refused`, `Pending`, `Approved`, `Denied` ...); a service that refuses the request itself
is a `ServiceError` with the service's stable code, and one that cannot be reached is
`ServiceAway`. Neither ever means that a call may run.

What holds: TLS unless the service is on this machine; no redirect is followed, because the bearer
token would go with it; every wait has an end; an answer is read up to a limit and parsed as
strictly as the service parses what it is sent. Only what is safe to repeat is repeated: a
submission that carries an idempotency key, a consumption (its `use_id` makes it one), a read.

The caller's proof of identity is a short-lived JWT that it signs itself (RFC 7523, section 3).
"""

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
from approvals.client.service import Client, mint_token
from approvals.core.receipt import Receipt

__all__ = [
    "Allowed",
    "Approved",
    "Cancelled",
    "Client",
    "Denied",
    "Expired",
    "Outcome",
    "Pending",
    "Receipt",
    "Refused",
    "Revoked",
    "ServiceAway",
    "ServiceError",
    "Submitted",
    "mint_token",
]
