"""Every refusal as one shape: `application/problem+json` (RFC 9457) with a stable `code`.

This is the only place that knows which error is which HTTP status. What an answer says is what the
error says: codes and sentences that were written to be told, never a repr, a trace or an input.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import orjson
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from approvals.api.account import account_of
from approvals.core.canonical import pointer
from approvals.core.errors import (
    AdmissionError,
    ApprovalRejected,
    AssentError,
    BundleError,
    CallError,
    Conflict,
    EvidenceError,
    Forbidden,
    Invalid,
    JwsError,
    NotFound,
    OutcomeUnknown,
    ProofError,
    TooMany,
    TransitionError,
    Unauthenticated,
    Unavailable,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import FastAPI
    from starlette.requests import Request

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER: Final = "2"
"""Seconds after which an unavailable service is worth asking again."""

_STATUS: Final[dict[type[AssentError], int]] = {
    AdmissionError: 400,
    JwsError: 401,
    Unauthenticated: 401,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    TransitionError: 409,
    ApprovalRejected: 409,
    BundleError: 422,
    CallError: 422,
    EvidenceError: 422,
    Invalid: 422,
    TooMany: 429,
    # What is stored does not prove itself: the service must not answer with it, and says so.
    ProofError: 503,
    Unavailable: 503,
    OutcomeUnknown: 503,
}
_BY_CODE: Final = {"too_large": 413, "unsupported_media_type": 415}
_HTTP_CODES: Final = {404: "not_found", 405: "method_not_allowed"}


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    place: str | None = None,
    headers: Mapping[str, str] | None = None,
    more: Mapping[str, object] | None = None,
) -> Response:
    """The answer that says no; `more` are extension members."""
    body: dict[str, object] = {
        **(more or {}),
        "type": f"urn:assent:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
    }
    if place is not None:
        body["place"] = place
    # Nothing about a refusal is worth keeping in a cache.
    sent = {"Cache-Control": "no-store", **(headers or {})}
    if status == HTTPStatus.UNAUTHORIZED:
        # RFC 6750 section 3: what kind of credential is wanted, and that the one sent was not it.
        sent["WWW-Authenticate"] = 'Bearer realm="assent", error="invalid_token"'
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        sent["Retry-After"] = RETRY_AFTER
    return Response(orjson.dumps(body), status_code=status, headers=sent, media_type=MEDIA_TYPE)


def status_of(error: AssentError) -> int:
    """The HTTP status of an error, by its code or else by the family it belongs to."""
    if error.code in _BY_CODE:
        return _BY_CODE[error.code]
    for family in type(error).__mro__:
        if family in _STATUS:
            return _STATUS[family]
    return HTTPStatus.INTERNAL_SERVER_ERROR


def install(app: FastAPI) -> None:
    """Answer every error of the application in this shape."""

    @app.exception_handler(AssentError)
    async def refused(request: Request, error: AssentError) -> Response:
        if isinstance(error, Unauthenticated):
            account_of(request).why = error.why
        later = {"Retry-After": str(error.retry_after)} if isinstance(error, TooMany) else None
        return problem(
            status_of(error), error.code, error.message, place=error.place, headers=later
        )

    @app.exception_handler(HTTPException)
    async def unrouted(_request: Request, error: HTTPException) -> Response:
        code = _HTTP_CODES.get(error.status_code, "http")
        return problem(error.status_code, code, error.detail, headers=error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        kind, *path = (str(step) for step in first["loc"])
        if kind == "path":
            # An id of another form is as unknown as one that was never given: one uniform answer.
            return problem(404, "not_found", "there is no such thing")
        return problem(422, "invalid", first["msg"], place=f"{kind} {pointer(*path)}")
