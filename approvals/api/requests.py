"""`/v1/requests/…`: what became of a request, waiting for it, withdrawing it, its evidence."""

from typing import Annotated

import orjson
from fastapi import APIRouter, Path, Query
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from approvals.api import wire
from approvals.api.bodies import answer
from approvals.api.routes import caller_only, raw, refusals, room
from approvals.api.waiting import MAX_WAIT
from approvals.flow.asking.cancel import cancel
from approvals.flow.auditing.evidence import evidence
from approvals.flow.status import RequestStatus

router = APIRouter(tags=["requests"])

RequestId = Annotated[str, Path(pattern=wire.REQUEST_ID)]


def status_answer(status: RequestStatus) -> wire.RequestStatus:
    """A status as it goes over the wire."""
    return wire.RequestStatus(
        id=status.id,
        state=status.state.value,
        request_digest=status.digest,
        call_hash=status.call_hash,
        created=status.created,
        expires=status.expires,
        url=status.url,
        progress=[
            wire.Progress(
                rule=each.rule,
                reason=each.reason,
                approvers=list(each.approvers),
                step_up=each.step_up,
                quorum=each.quorum,
                filled=each.filled,
            )
            for each in status.progress
        ],
        denied=None
        if status.denial is None
        else wire.Denial(
            by=status.denial.approver,
            reason=status.denial.reason,
            retry_after=status.denial.retry_after,
        ),
        approval=status.approval,
    )


@router.get(
    "/v1/requests/{request_id}",
    operation_id="lookAtRequest",
    responses={
        200: {"description": "The request as it is.", "model": wire.RequestStatus},
        **refusals(401, 404, 422),
    },
    openapi_extra=caller_only(),
)
async def look_at_request(
    request: Request,
    request_id: RequestId,
    wait: Annotated[
        int,
        Query(ge=0, le=MAX_WAIT, description="Hold up to so many seconds for a decision."),
    ] = 0,
) -> Response:
    """A request's status, and the approval once there is one."""
    here = room(request)
    caller = await run_in_threadpool(here.callers.of, request)
    status = await here.waiting.until_decided(
        caller, request_id, seconds=wait, receive=request.receive
    )
    return answer(status_answer(status))


@router.post(
    "/v1/requests/{request_id}/cancel",
    operation_id="cancelRequest",
    responses={
        200: {"description": "It is withdrawn.", "model": wire.RequestStatus},
        **refusals(401, 404, 408, 409),
    },
    openapi_extra=caller_only(),
)
def cancel_request(request: Request, request_id: RequestId) -> Response:
    """Withdraw a pending request."""
    here = room(request)
    caller = here.callers.of(request)
    status = here.service.store.retry(lambda: cancel(here.service, caller, request_id))
    return answer(status_answer(status))


@router.get(
    "/v1/requests/{request_id}/evidence",
    operation_id="requestEvidence",
    responses={
        200: {
            "description": "All an auditor needs in one file, checkable offline.",
            **raw("application/json", {"type": "object"}),
        },
        **refusals(401, 404, 409),
    },
    openapi_extra=caller_only(),
)
def request_evidence(
    request: Request, request_id: Annotated[str, Path(pattern=wire.OCCASION_ID)]
) -> Response:
    """The evidence file of a request, or of a verdict that policy gave by itself."""
    here = room(request)
    caller = here.callers.of(request)
    file = evidence(here.service, caller, request_id)
    return Response(orjson.dumps(file), media_type="application/json")
