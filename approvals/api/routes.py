"""What every route needs: the service, the caller, and how its answers are documented."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial, wraps
from typing import Annotated, Any, Final, ParamSpec, cast

import anyio
from anyio.lowlevel import RunVar
from anyio.to_thread import run_sync
from fastapi import Depends
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from approvals.api.bodies import json_body
from approvals.api.caller import Callers
from approvals.api.metrics import Metrics
from approvals.api.problems import MEDIA_TYPE
from approvals.api.readiness import Readiness
from approvals.api.waiting import Waiting
from approvals.flow.service import Service

SECURITY: Final = "enforcer"

_WHY: Final = {
    400: "The body is not strict JSON, or not the length it says.",
    401: "The bearer token is missing or not one of a registered enforcer's.",
    403: "The enforcer does not guard this target, or may not speak for this agent.",
    404: "There is no such thing, or it is another's: the two look alike.",
    408: "The body did not arrive in time.",
    409: "Something else happened first; the code says what.",
    413: "The body is too large.",
    414: "The address is too long.",
    415: "The body is not declared as application/json.",
    421: "The Host is not this service's.",
    422: "Read, and it makes no sense here; the place says where.",
    503: "Nothing was done, or with outcome_unknown perhaps; try again after Retry-After seconds.",
}
_EVERY: Final = (400, 413, 414, 421, 503)


@dataclass(frozen=True, slots=True)
class Room:
    """What the API holds of the running service."""

    service: Service
    callers: Callers
    waiting: Waiting
    readiness: Readiness
    metrics: Metrics


def room(request: Request) -> Room:
    """What `approvals.api.mount` put on the application."""
    return cast("Room", request.app.state.api)


_ASIDE: Final = 2
_limiters: RunVar[dict[str, anyio.CapacityLimiter]] = RunVar("assent-aside")
_Given = ParamSpec("_Given")


def aside(route: Callable[_Given, Response]) -> Callable[_Given, Awaitable[Response]]:
    """Run a route on two threads of its own, so that it is answered while all others wait.

    For probes, keys and the public log: they say how it stands, also where a database is stuck.
    """

    @wraps(route)
    async def run(*args: _Given.args, **kwargs: _Given.kwargs) -> Response:
        try:
            limiters = _limiters.get()
        except LookupError:
            limiters = {}
            _limiters.set(limiters)
        limiter = limiters.setdefault(route.__name__, anyio.CapacityLimiter(_ASIDE))
        return await run_sync(partial(route, *args, **kwargs), limiter=limiter)

    return run


JsonBody = Annotated[bytes, Depends(json_body)]


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Document the problems that a route answers with, those of the edge included."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {"description": _WHY[status], "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in sorted({*_EVERY, *statuses})
    }


def caller_only(*, body: type[BaseModel] | None = None) -> dict[str, Any]:
    """Document that a route takes an enforcer's token, and the body that it reads itself."""
    extra: dict[str, Any] = {"security": [{SECURITY: []}]}
    if body is not None:
        extra["requestBody"] = {
            "required": True,
            "content": {
                "application/json": {"schema": {"$ref": f"#/components/schemas/{body.__name__}"}}
            },
        }
    return extra


def raw(media_type: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Document an answer that is not described by a model."""
    return {"content": {media_type: {"schema": schema}}}
