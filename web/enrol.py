"""The invitation's page: looking at it uses nothing up; the passkey that is made does."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from approvals.flow.people import enrol
from approvals.web import often
from approvals.web.pages import page
from approvals.web.posts import Fields, mapping, text
from approvals.web.session import keep, service_of

router = APIRouter(
    prefix="/invite/{token}", include_in_schema=False, dependencies=[Depends(often.stranger)]
)

Token = Annotated[str, Path(max_length=128)]


@router.api_route("", methods=["GET", "HEAD"])
def show(request: Request, token: Token) -> Response:
    """Say who is invited, and offer to make a passkey."""
    invited = enrol.invitation(service_of(request), token)
    return page(
        "invite.html",
        name=invited.name,
        who=invited.person,
        expires=invited.expires,
        replaces=invited.replaces,
        held=invited.passkeys,
        token=token,
    )


@router.post("/begin")
def begin(request: Request, token: Token, _fields: Fields) -> Response:
    """Options for `navigator.credentials.create`."""
    ceremony = enrol.begin(service_of(request), token)
    return JSONResponse(ceremony.document())


@router.post("/finish")
def finish(request: Request, token: Token, fields: Fields) -> Response:
    """Enrol what the browser made, and sign it in."""
    service = service_of(request)
    # The path is looked at as well, so that a page serves the invitation it shows.
    enrol.invitation(service, token)
    session = enrol.finish(service, text(fields, "ceremony"), mapping(fields, "credential"))
    answer = JSONResponse({"next": "/"})
    keep(answer, service, session)
    return answer
