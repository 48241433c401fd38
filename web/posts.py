"""What a page's script sends: only from our own pages, only JSON, only read one way.

What holds: nothing changes unless the browser says that a page of this origin asked (`Origin`,
which no script can forge, and `Sec-Fetch-Site` where the browser sends it) and the body is JSON
by its type, which no foreign form can send without asking first (CORS). Against: CSRF, and clients
that read one body in two ways.
"""

from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from approvals.core import canonical
from approvals.core.canonical import Json
from approvals.core.errors import AdmissionError, Forbidden, Invalid
from approvals.web.session import SAFE_METHODS, service_of

LARGEST = 65_536  # bytes; a credential with its attestation is a few thousand


def same_origin(request: Request) -> None:
    """Refuse a request that changes something and does not come from our own page.

    Raises:
        Forbidden: `cross_origin`.
    """
    if request.method in SAFE_METHODS:
        return
    if (
        request.headers.get("origin") != service_of(request).settings.url
        or request.headers.get("sec-fetch-site", "same-origin") != "same-origin"
    ):
        raise Forbidden("this can only be done from the pages themselves", code="cross_origin")


async def _fields(request: Request) -> dict[str, Json]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Invalid("send application/json", code="unsupported_media_type")
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > LARGEST:
            raise AdmissionError("the body is too large", code="too_large")
    body = canonical.parse(bytes(raw), max_bytes=LARGEST)
    if not isinstance(body, dict):
        raise AdmissionError("the body is not an object", code="not_an_object")
    return body


Fields = Annotated[dict[str, Json], Depends(_fields)]


def text(fields: dict[str, Json], name: str) -> str:
    """A member that must be a string.

    Raises:
        Invalid: it is missing, or something else.
    """
    value = fields.get(name)
    # NUL is no text to PostgreSQL: it would look like a fault of ours, not of what was sent.
    if not isinstance(value, str) or "\0" in value:
        raise Invalid("a string without NUL is needed here", code="invalid", place=f"/{name}")
    return value


def mapping(fields: dict[str, Json], name: str) -> dict[str, Json]:
    """A member that must be an object.

    Raises:
        Invalid: it is missing, or something else.
    """
    value = fields.get(name)
    if not isinstance(value, dict):
        raise Invalid("an object is needed here", code="invalid", place=f"/{name}")
    return value
