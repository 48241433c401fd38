"""What the service answered, as the caller of a guarded function gets it: a token, or an error.

Each error says what happened, whether the call ran, and what to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from approvals.client import (
    Approved,
    Cancelled,
    Denied,
    Expired,
    OutcomeUnknown,
    Pending,
    Refused,
    Revoked,
    ServiceAway,
    ServiceError,
)
from approvals.guard.refusals import CallParked, CallRefused

if TYPE_CHECKING:
    from approvals.client import Outcome
    from approvals.core.errors import AdmissionError, CallError


def not_spent(error: ServiceAway) -> CallRefused:
    """The error for a service that went away while an approval was being spent."""
    unknown = isinstance(error, OutcomeUnknown)
    return CallRefused(
        "the service went away while the approval was spent; the call did not run"
        + (", and the approval may be spent" if unknown else "")
        + "; make it again once the service is back",
        reason=error.code,
    )


def token_of(outcome: Outcome) -> str:
    """The token of what people decided.

    Raises:
        CallParked: people have not decided yet.
        CallRefused: there is no approval, and why.
    """
    match outcome:
        case Approved(token=token):
            return token
        case Pending(id=name, url=url, expires=expires):
            raise CallParked(request_id=name, url=url, expires=expires)
        case Denied(id=name, by=by, reason=reason, retry_after=retry_after):
            raise CallRefused(
                f"{by} denied {name}" + (f": {reason}" if reason else ""),
                reason="denied",
                request_id=name,
                comment=reason,
                retry_after=retry_after,
            )
        case Expired(id=name):
            raise CallRefused(
                f"nobody decided {name} in time; make the call again to ask again",
                reason="request_expired",
                request_id=name,
            )
        case Cancelled(id=name):
            raise CallRefused(
                f"{name} was withdrawn; make the call again to ask again",
                reason="request_cancelled",
                request_id=name,
            )
        case Revoked(id=name):
            raise CallRefused(
                f"the approval of {name} was revoked", reason="request_revoked", request_id=name
            )


def refused_by_policy(refused: Refused, *, agent: str, user: str) -> CallRefused:
    """The error for a call that policy does not allow."""
    named = {
        "no_agent": f"the agent {agent!r} is not registered in agents.yaml",
        "no_user": f"the user {user!r} is not registered in people.yaml",
        "user_not_served": f"the agent {agent!r} does not serve the user {user!r}",
    }
    later = "" if refused.retry_after is None else f"; ask again in {refused.retry_after} seconds"
    if refused.code == "cooling_down":
        denied = refused.denied
        who = "a person" if denied is None else denied.by
        words = None if denied is None else denied.reason
        return CallRefused(
            f"{who} denied this very call a short time ago"
            + (f": {words}" if words else "")
            + f"{later}, and only if somebody wants it [{refused.id}]",
            reason="denied",
            place=refused.code,
            request_id=None if denied is None else denied.id,
            rules=refused.rules,
            comment=words,
            retry_after=refused.retry_after,
        )
    why = named.get(refused.code) or "; ".join(refused.reasons) or refused.code
    rules = f" (rules: {', '.join(refused.rules)})" if refused.rules else ""
    return CallRefused(
        f"policy does not allow this call: {why}{later}{rules} [{refused.id}]",
        reason="policy",
        place=refused.code,
        rules=refused.rules,
        retry_after=refused.retry_after,
    )


def not_asked(error: ServiceAway | ServiceError | AdmissionError | CallError) -> CallRefused:
    """The error for a call that could not be submitted."""
    match error:
        case ServiceAway():
            return CallRefused(
                f"{error}; the call did not run, and nothing guarded runs meanwhile",
                reason=error.code,
                retry_after=None if error.retry_after is None else int(error.retry_after),
            )
        case ServiceError():
            return CallRefused(
                f"the service refused the request: {error.message} [{error.code}]",
                reason=error.code,
                place=error.place,
            )
        case _:
            return CallRefused(
                f"nothing was sent: {error.message}", reason="arguments", place=error.place
            )
