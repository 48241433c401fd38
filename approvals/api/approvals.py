"""`/v1/approvals/…`: an approval is spent, and the outcome told."""

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response

from approvals.api import wire
from approvals.api.bodies import answer, read
from approvals.api.routes import JsonBody, caller_only, refusals, room
from approvals.flow.granting.consume import consume
from approvals.flow.granting.report import report

router = APIRouter(tags=["approvals"])

ApprovalId = Annotated[str, Path(pattern=wire.APPROVAL_ID)]


@router.post(
    "/v1/approvals/{approval_id}/consume",
    operation_id="consumeApproval",
    responses={
        200: {"description": "This use is the one that counts.", "model": wire.Receipt},
        **refusals(401, 404, 408, 409, 415, 422),
    },
    openapi_extra=caller_only(body=wire.Consumption),
)
def consume_approval(request: Request, approval_id: ApprovalId, body: JsonBody) -> Response:
    """Spend an approval, once; the same use_id again gets the same receipt."""
    here = room(request)
    caller = here.callers.of(request)
    sent, _ = read(wire.Consumption, body, max_bytes=here.service.settings.max_bytes)
    receipt = here.service.store.retry(
        lambda: consume(
            here.service, caller, approval_id, call_hash=sent.call_hash, use_id=sent.use_id
        )
    )
    return answer(wire.Receipt(receipt=receipt))


@router.post(
    "/v1/approvals/{approval_id}/outcome",
    operation_id="reportOutcome",
    status_code=204,
    responses={
        204: {"description": "It is recorded."},
        **refusals(401, 404, 408, 409, 415, 422),
    },
    openapi_extra=caller_only(body=wire.OutcomeReport),
)
def report_outcome(request: Request, approval_id: ApprovalId, body: JsonBody) -> Response:
    """Tell what became of the call that the approval was spent on."""
    here = room(request)
    caller = here.callers.of(request)
    sent, _ = read(wire.OutcomeReport, body, max_bytes=here.service.settings.max_bytes)
    here.service.store.retry(
        lambda: report(
            here.service, caller, approval_id, status=sent.status, output_hash=sent.output_hash
        )
    )
    return Response(status_code=204)
