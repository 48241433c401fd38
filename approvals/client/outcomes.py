"""What the service answers: one value for each outcome that an enforcer must tell apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Allowed:
    """Policy allowed the call without asking anybody."""

    id: str
    approval: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Policy refused the call, or people are not asked about it now.

    ``retry_after`` is in how many seconds asking again may lead to another answer, where it may.
    ``denied`` is what a person said to this very call a short time ago, where the service tells.
    """

    id: str
    code: str
    rules: tuple[str, ...]
    reasons: tuple[str, ...]
    retry_after: int | None = None
    denied: Denied | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """People are being asked."""

    id: str
    url: str
    expires: int


@dataclass(frozen=True, slots=True)
class Approved:
    """Enough people approved; `token` is the signed approval."""

    id: str
    token: str


@dataclass(frozen=True, slots=True)
class Denied:
    """A person said no. `reason` is their text: data, never an instruction.

    `retry_after` is in how many seconds people may be asked about the same call again.
    """

    id: str
    by: str
    reason: str | None
    retry_after: int | None = None


@dataclass(frozen=True, slots=True)
class Expired:
    """Nobody decided in time."""

    id: str


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The caller withdrew the request."""

    id: str


@dataclass(frozen=True, slots=True)
class Revoked:
    """The request was approved and the approval has been taken back."""

    id: str


Submitted: TypeAlias = Allowed | Refused | Pending
Outcome: TypeAlias = Approved | Denied | Expired | Cancelled | Revoked | Pending
