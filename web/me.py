"""My own page: what I can sign with, adding to it and ending it, my chat account, how I am told."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from approvals.flow.deciding import look
from approvals.flow.people import enrol, linking, retire
from approvals.flow.telling import how_told
from approvals.web import often
from approvals.web.pages import page
from approvals.web.posts import Fields, mapping, text
from approvals.web.present.told import told_page
from approvals.web.session import Session, forget, service_of, signed_in

router = APIRouter(prefix="/me", include_in_schema=False)

SLACK = "slack"
Person = Annotated[Session, Depends(signed_in)]
Credential = Annotated[str, Path(max_length=1024)]


@router.api_route("", methods=["GET", "HEAD"])
def show(request: Request, session: Person) -> Response:
    """Show the person's passkeys, their Slack account, and how they are told."""
    service = service_of(request)
    return page(
        "me.html",
        keys=look.passkeys(service, session),
        slack=service.settings.slack_bot_token is not None,
        linked=linking.linked(service, session, SLACK),
        told=told_page(how_told.how_told(service, session)),
        who=session.person,
        person=session.name,
        here="me",
    )


@router.post("/slack/begin", dependencies=[Depends(often.person)])
def begin_link(request: Request, session: Person, _fields: Fields) -> Response:
    """Options for an assertion by a passkey that the person has, to link a Slack account."""
    ceremony = linking.begin_link(service_of(request), session)
    return JSONResponse(ceremony.document())


@router.post("/slack/code")
def link_code(request: Request, session: Person, fields: Fields) -> Response:
    """The code to type in Slack, for whoever could use a passkey that the person has."""
    code = linking.start_link(
        service_of(request),
        session,
        SLACK,
        text(fields, "ceremony"),
        mapping(fields, "credential"),
    )
    return JSONResponse({"code": code.code, "expires": code.expires})


@router.post("/slack/unlink/begin", dependencies=[Depends(often.person)])
def begin_unlink(request: Request, session: Person, _fields: Fields) -> Response:
    """Options for an assertion by a passkey that the person has, to unlink the Slack account."""
    return JSONResponse(linking.begin_unlink(service_of(request), session).document())


@router.post("/slack/unlink/finish")
def unlink(request: Request, session: Person, fields: Fields) -> Response:
    """Forget the Slack account of whoever could use a passkey that the person has."""
    linking.unlink(
        service_of(request),
        session,
        SLACK,
        text(fields, "ceremony"),
        mapping(fields, "credential"),
    )
    return JSONResponse({"next": "/me"})


@router.post("/passkeys/{credential}/revoke/begin", dependencies=[Depends(often.person)])
def begin_revoke(
    request: Request, session: Person, credential: Credential, _fields: Fields
) -> Response:
    """Options for an assertion by a passkey that the person has, to end this one."""
    return JSONResponse(retire.begin_revoke(service_of(request), session, credential).document())


@router.post("/passkeys/{credential}/revoke/finish")
def revoke(request: Request, session: Person, credential: Credential, fields: Fields) -> Response:
    """End it, and every browser in which the person is signed in, this one too."""
    service = service_of(request)
    retire.finish_revoke(
        service, session, credential, text(fields, "ceremony"), mapping(fields, "credential")
    )
    answer = JSONResponse({"next": "/signin"})
    forget(answer, service)
    return answer


@router.post("/passkeys/prove", dependencies=[Depends(often.person)])
def prove(request: Request, session: Person, _fields: Fields) -> Response:
    """Options for an assertion by a passkey that the person has."""
    ceremony = enrol.begin_further(service_of(request), session)
    return JSONResponse(ceremony.document())


@router.post("/passkeys/begin", dependencies=[Depends(often.person)])
def begin(request: Request, session: Person, fields: Fields) -> Response:
    """Options for one more passkey, for whoever could use one that the person has."""
    ceremony = enrol.prove(
        service_of(request), session, text(fields, "ceremony"), mapping(fields, "credential")
    )
    return JSONResponse(ceremony.document())


@router.post("/passkeys/finish")
def finish(request: Request, session: Person, fields: Fields) -> Response:
    """Enrol it."""
    enrol.finish_further(
        service_of(request), session, text(fields, "ceremony"), mapping(fields, "credential")
    )
    return JSONResponse({"next": "/me"})
