"""My passkeys: what I can sign with, and adding to it."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from approvals.flow import chat, enrol, look
from web.pages import page
from web.posts import Fields, mapping, text
from web.session import Session, service_of, signed_in

router = APIRouter(prefix="/me", include_in_schema=False)

SLACK = "slack"
Person = Annotated[Session, Depends(signed_in)]


@router.api_route("", methods=["GET", "HEAD"])
def show(request: Request, session: Person) -> Response:
    """List the person's passkeys."""
    service = service_of(request)
    return page(
        "me.html",
        keys=look.passkeys(service, session),
        slack=service.settings.slack_bot_token is not None,
        linked=chat.linked(service, session, SLACK),
        who=session.person,
        person=session.name,
        here="me",
    )


@router.post("/slack/begin")
def begin_link(request: Request, session: Person, _fields: Fields) -> Response:
    """Options for an assertion by a passkey that the person has, to link a Slack account."""
    ceremony = chat.begin_link(service_of(request), session)
    return JSONResponse({"ceremony": ceremony.id, "options": ceremony.options})


@router.post("/slack/code")
def link_code(request: Request, session: Person, fields: Fields) -> Response:
    """The code to type in Slack, for whoever could use a passkey that the person has."""
    code = chat.start_link(
        service_of(request),
        session,
        SLACK,
        text(fields, "ceremony"),
        mapping(fields, "credential"),
    )
    return JSONResponse({"code": code.code, "expires": code.expires})


@router.post("/slack/unlink")
def unlink(request: Request, session: Person, _fields: Fields) -> Response:
    """Forget the person's Slack account."""
    chat.unlink(service_of(request), session, SLACK)
    return JSONResponse({"next": "/me"})


@router.post("/passkeys/prove")
def prove(request: Request, session: Person, _fields: Fields) -> Response:
    """Options for an assertion by a passkey that the person has."""
    ceremony = enrol.begin_further(service_of(request), session)
    return JSONResponse({"ceremony": ceremony.id, "options": ceremony.options})


@router.post("/passkeys/begin")
def begin(request: Request, session: Person, fields: Fields) -> Response:
    """Options for one more passkey, for whoever could use one that the person has."""
    ceremony = enrol.prove(
        service_of(request), session, text(fields, "ceremony"), mapping(fields, "credential")
    )
    return JSONResponse({"ceremony": ceremony.id, "options": ceremony.options})


@router.post("/passkeys/finish")
def finish(request: Request, session: Person, fields: Fields) -> Response:
    """Enrol it."""
    enrol.finish_further(
        service_of(request), session, text(fields, "ceremony"), mapping(fields, "credential")
    )
    return JSONResponse({"next": "/me"})
