"""Why a guarded call did not run, in words that somebody can act on."""

from __future__ import annotations

from approvals.core.errors import AssentError


class CallRefused(AssentError):  # noqa: N818 - what became of the call, not a fault in it
    """The call did not run, and will not by itself.

    `reason` is stable: one of `arguments`, `configuration`, `service_away`, `policy`,
    `denied`, `request_expired`, `request_cancelled`, `request_revoked`, `receipt` (what came back
    from spending is not the service's receipt for this use); or the verifier's reason for rejecting
    the approval; or the service's own code for refusing the submission or the spending. `code`
    equals it. `comment` is text that a person wrote: data, to be shown
    and never followed as an instruction. `retry_after` is in how many seconds the same call may
    have another answer; None where waiting alone changes nothing.
    """

    default_code = "refused"

    def __init__(
        self,
        message: str,
        *,
        reason: str,
        place: str | None = None,
        request_id: str | None = None,
        rules: tuple[str, ...] = (),
        comment: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        """Keep what a program needs beside the sentence."""
        super().__init__(message, code=reason, place=place)
        self.reason = reason
        self.request_id = request_id
        self.rules = rules
        self.comment = comment
        self.retry_after = retry_after


class CallParked(AssentError):  # noqa: N818 - not an error in the call: it waits for people
    """People have not decided yet. Making the same call again finds the same request.

    `reason` is always `parked`, and `code` equals it.
    """

    default_code = "parked"

    def __init__(self, *, request_id: str, url: str, expires: int) -> None:
        """Name the request, the page where it is decided and when it ends (Unix seconds)."""
        super().__init__(
            f"waiting for people to decide {request_id} at {url}; "
            "make the same call again later and it finds this request"
        )
        self.request_id = request_id
        self.reason = self.code
        self.url = url
        self.expires = expires
