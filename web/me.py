"""My passkeys: what I can sign with, and adding to it."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from approvals.flow import enrol, look
from web.pages import page
from web.posts import Fields, mapping, text
from web.session import Session, service_of, signed_in

router = APIRouter(prefix="/me", include_in_schema=False)

Person = Annotated[Session, Depends(signed_in)]


@router.api_route("", methods=["GET", "HEAD"])
def show(request: Request, session: Person) -> Response:
    """List the person's passkeys."""
    keys = look.passkeys(service_of(request), session)
    return page("me.html", keys=keys, who=session.person, person=session.name, here="me")


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
