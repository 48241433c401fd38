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
    """The service could not be reached, or says that it cannot answer now."""

    default_code = "service_away"
