"""Is the process alive; can it grant now."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from approvals.api import wire
from approvals.api.bodies import answer
from approvals.api.problems import problem
from approvals.api.routes import refusals, room

router = APIRouter(tags=["health"])


@router.get(
    "/healthz",
    operation_id="alive",
    responses={200: {"description": "It is.", "model": wire.Health}, **refusals()},
)
async def alive() -> Response:
    """Say that the process answers; asks nothing else."""
    return answer(wire.Health())


@router.get(
    "/readyz",
    operation_id="ready",
    responses={
        200: {"description": "It can grant now.", "model": wire.Readiness},
        **refusals(),
    },
)
async def ready(request: Request) -> Response:
    """Say whether this process can grant now, and why not; within two seconds whatever hangs.

    The problem has the member `checks`, as the answer of a process that is ready has.
    """
    checks = {
        name: wire.Checked(ok=each.ok, age=each.age, code=each.code, remedy=each.remedy)
        for name, each in (await room(request).readiness.checks()).items()
    }
    wrong = [name for name, each in checks.items() if not each.ok]
    if not wrong:
        return answer(wire.Readiness(checks=checks))
    return problem(
        503,
        "not_ready",
        f"nothing can be granted by this process now: {', '.join(wrong)}",
        more={"checks": {name: each.model_dump() for name, each in checks.items()}},
    )
