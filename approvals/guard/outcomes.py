"""What the service is told of a call that ran, and what is logged where it cannot be told."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, cast

from approvals.core import canonical
from approvals.core.errors import AssentError

if TYPE_CHECKING:
    from approvals.core.canonical import Json

_log = logging.getLogger("approvals.guard")


def unreported(jti: str, status: str, error: Exception) -> None:
    """Log that the service was not told what became of an approved call."""
    code = error.code if isinstance(error, AssentError) else type(error).__name__
    _log.warning(
        "the outcome of %s (%s) was not reported: %s",
        jti,
        status,
        code,
        extra={"approval": jti, "outcome": status, "code": code},
    )


def digest_of(output: object) -> str | None:
    """The digest of what the function returned; None: it is no JSON."""
    try:
        return canonical.digest(cast("Json", output))
    except Exception:  # noqa: BLE001 - the last wall: an output may do anything when it is looked at
        return None  # Not JSON: a hash of its repr would be nothing that anybody could check.
