"""`POST /v1/calls`: a call asks to be let through."""

from typing import Annotated, assert_never

from fastapi import APIRouter, Header
from starlette.requests import Request
from starlette.responses import Response

from approvals.api import wire
from approvals.api.account import account_of
from approvals.api.bodies import answer, read
from approvals.api.requests import status_answer
from approvals.api.routes import JsonBody, caller_only, refusals, room
from approvals.core import canonical
from approvals.core.calls import ToolCall
from approvals.core.canonical import Json
from approvals.core.errors import CallError
from approvals.flow.acting import caller as flow_caller
from approvals.flow.asking.answers import Allowed, Denied, Opened
from approvals.flow.asking.submit import submit

router = APIRouter(tags=["calls"])


@router.post(
    "/v1/calls",
    operation_id="submitCall",
    responses={
        200: {
            "description": "Policy decided by itself.",
            "model": wire.AllowAnswer | wire.DenyAnswer,
        },
        202: {"description": "People are asked.", "model": wire.EscalateAnswer},
        **refusals(401, 403, 408, 409, 415, 422),
    },
    openapi_extra=caller_only(body=wire.Submission),
)
def submit_call(
    request: Request,
    body: JsonBody,
    idempotency_key: Annotated[
        str | None,
        Header(
            pattern=wire.IDEMPOTENCY_KEY,
            description="The same key with the same body gets the same answer.",
        ),
    ] = None,
) -> Response:
    """Decide a call: let it through, refuse it, or ask people."""
    here = room(request)
    caller = here.callers.of(request)
    sent, value = read(wire.Submission, body, max_bytes=here.service.settings.max_bytes)
    submission = _submission(sent, value, idempotency_key)
    answered = here.service.store.retry(lambda: submit(here.service, caller, submission))
    account_of(request).about(answered.id)
    match answered:
        case Allowed():
            return answer(wire.AllowAnswer(id=answered.id, approval=answered.approval))
        case Denied():
            return answer(
                wire.DenyAnswer(
                    id=answered.id,
                    code=answered.code,
                    rules=list(answered.rules),
                    reasons=list(answered.reasons),
                    retry_after=answered.retry_after,
                    request=None if answered.status is None else status_answer(answered.status),
                )
            )
        case Opened():
            return answer(
                wire.EscalateAnswer(request=status_answer(answered.status)),
                status=202,
                headers={"Location": f"/v1/requests/{answered.id}"},
            )
        case _:
            assert_never(answered)


def _submission(
    sent: wire.Submission, value: Json, idempotency_key: str | None
) -> flow_caller.Submission:
    try:
        call = ToolCall(target=sent.call.target, tool=sent.call.tool, args=sent.call.args)
    except CallError as error:
        raise CallError(
            error.message, code=error.code, place=f"/call{error.place or ''}"
        ) from error
    provenance = sent.provenance or wire.Provenance()
    return flow_caller.Submission(
        call=call,
        agent=sent.agent,
        user=sent.user,
        body_digest=canonical.digest(value),
        task=sent.task,
        precondition=sent.precondition,
        explanation=sent.explanation,
        provenance=flow_caller.Provenance(
            prompt_hash=provenance.prompt_hash,
            context_refs=tuple(provenance.context_refs),
            model=provenance.model,
        ),
        idempotency_key=idempotency_key,
    )
