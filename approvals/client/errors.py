"""Why there is no outcome: the service refused the request itself, or it is away."""

from __future__ import annotations

from approvals.core.errors import AssentError


class ServiceError(AssentError):
    """The service answered, and not with what was asked for."""

    default_code = "service_error"

    def __init__(self, message: str, *, code: str, status: int, place: str | None = None) -> None:
        """Keep the service's own code and the HTTP status."""
        super().__init__(message, code=code, place=place)
        self.status = status

    @property
    def detail(self) -> str:
        """The service's sentence about what was wrong."""
        return self.message


class ServiceAway(AssentError):  # noqa: N818 - a state of the service, named as people say it
    """The service could not be reached, or says that it cannot answer now.

    `code` is the service's own where it gave one, as in `row_altered` or `closed`. `retry_after` is
    in how many seconds it wants to be asked again, where it says so.
    """

    default_code = "service_away"

    def __init__(
        self, message: str, *, code: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message, code=code)
        self.retry_after = retry_after


class OutcomeUnknown(ServiceAway):
    """The service is away, and what it was asked to do may have been done: the answer was lost.

    Asking again with the same key tells; until then it is neither done nor refused.
    """

    default_code = "outcome_unknown"
