"""Is the process alive; can it do its work."""

import time

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from approvals.api import wire
from approvals.api.bodies import answer
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
        200: {"description": "It can do its work.", "model": wire.Health},
        **refusals(),
    },
)
def ready(request: Request) -> Response:
    """Say whether the database answers and there is a key to sign with; 503 where not."""
    service = room(request).service
    with service.store.read() as tx:
        tx.log.latest_checkpoint()
    service.keys.signer(int(time.time()))
    return answer(wire.Health())
