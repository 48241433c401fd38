"""`/log/…`: the transparency log as C2SP tlog-tiles serves it, for anybody to read.

Leaves hold ids, digests and salted commitments and no payload, so reading needs no token. A tile
never changes, a partial one included: whoever fetched it may keep it for ever. The checkpoint is
what changes.
"""

from typing import Annotated, Final

from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response

from approvals import log
from approvals.api import wire
from approvals.api.routes import aside, raw, refusals, room
from approvals.core.errors import NotFound, ProofError
from approvals.core.tlog.checkpoint import parse_tile_path

router = APIRouter(tags=["log"])

CHECKPOINT_TYPE: Final = "text/plain; charset=utf-8"
TILE_TYPE: Final = "application/octet-stream"
_BYTES: Final = {"type": "string", "format": "binary"}
_FOR_EVER: Final = {"Cache-Control": "public, max-age=31536000, immutable"}
_NEVER: Final = {"Cache-Control": "no-store"}


@router.get(
    "/log/checkpoint",
    operation_id="logCheckpoint",
    responses={
        200: {
            "description": "The newest signed checkpoint (C2SP tlog-checkpoint).",
            **raw("text/plain", {"type": "string"}),
        },
        **refusals(404),
    },
)
@aside
def log_checkpoint(request: Request) -> Response:
    """The newest checkpoint; there is none before the first event."""
    with room(request).service.store.glance() as tx:
        note = log.checkpoint(tx)
    return Response(note, headers=_NEVER, media_type=CHECKPOINT_TYPE)


@router.get(
    "/log/tile/{path:path}",
    operation_id="logTile",
    responses={
        200: {
            "description": "A tile, or with entries/ a bundle of leaves (C2SP tlog-tiles).",
            **raw(TILE_TYPE, _BYTES),
        },
        **refusals(404),
    },
)
@aside
def log_tile(
    request: Request,
    path: Annotated[
        str,
        Path(
            pattern=wire.TILE,
            description="<level>/<index>[.p/<width>] or entries/<index>[.p/<width>].",
            examples=["0/000", "entries/000.p/3"],
        ),
    ],
) -> Response:
    """The hashes of a tile or the leaves of an entry bundle."""
    try:
        wanted = parse_tile_path(f"tile/{path}")
    except ProofError:
        raise NotFound("the log has no such tile") from None
    with room(request).service.store.glance() as tx:
        if wanted.level is None:
            content = log.entries(tx, wanted.index, wanted.width)
        else:
            content = log.tile(tx, wanted.level, wanted.index, wanted.width)
    return Response(content, headers=_FOR_EVER, media_type=TILE_TYPE)
