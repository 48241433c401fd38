"""Bodies: bytes in, strictly admitted JSON, then exactly the members that the route knows."""

from collections.abc import Mapping
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from approvals.core import canonical
from approvals.core.canonical import Json, pointer
from approvals.core.errors import Invalid

M = TypeVar("M", bound=BaseModel)

_TYPES: Final = frozenset({"application/json", "application/json;charset=utf-8"})
_CODES: Final = {"extra_forbidden": "unknown_member", "missing": "missing_member"}


async def json_body(request: Request) -> bytes:
    """The body that a caller declared as JSON; a dependency of routes.

    Raises:
        Invalid: `unsupported_media_type`: a form that a page on another site can post is no JSON.
    """
    declared = request.headers.get("content-type", "").replace(" ", "").lower()
    if declared not in _TYPES:
        raise Invalid(
            "send Content-Type: application/json",
            code="unsupported_media_type",
            place="header Content-Type",
        )
    return await request.body()


def read(model: type[M], raw: bytes, *, max_bytes: int) -> tuple[M, Json]:
    """Read a body into its type; return it with the JSON value it was read from.

    Raises:
        AdmissionError: it is not strict JSON.
        Invalid: `unknown_member`, `missing_member` or `invalid`, with a JSON pointer.
    """
    value = canonical.parse(raw, max_bytes=max_bytes)
    try:
        return model.model_validate(value), value
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise Invalid(
            _sentence(first["type"], first["msg"]),
            code=_CODES.get(first["type"], "invalid"),
            place=pointer(*(str(step) for step in first["loc"])) or "/",
        ) from None  # the cause would carry the input into whatever logs it


def answer(
    value: BaseModel, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """A value as JSON."""
    return Response(
        value.model_dump_json(),
        status_code=status,
        headers=headers,
        media_type="application/json",
    )


def _sentence(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return "this member is not known here"
    if kind == "missing":
        return "this member is required"
    if kind in {"model_type", "dict_type"}:
        return "this must be a JSON object"
    return message
