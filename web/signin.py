"""Signing in and out. Any passkey of this service answers; no name is asked for."""

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from approvals.flow.people import signin
from approvals.web import often
from approvals.web.pages import page
from approvals.web.paths import local_path
from approvals.web.posts import Fields, mapping, text
from approvals.web.session import Visitor, forget, keep, service_of, token

router = APIRouter(include_in_schema=False)


@router.api_route("/signin", methods=["GET", "HEAD"])
def show(session: Visitor, next: str = "/") -> Response:  # noqa: A002 - the query's name
    """Offer to sign in; who is signed in already goes on."""
    if session is not None:
        return RedirectResponse(local_path(next), status_code=303)
    return page("signin.html", next=local_path(next))


@router.post("/signin/begin", dependencies=[Depends(often.stranger)])
def begin(request: Request, _fields: Fields) -> Response:
    """Options for `navigator.credentials.get`."""
    challenge = signin.begin(service_of(request))
    return JSONResponse(challenge.document())


@router.post("/signin/finish", dependencies=[Depends(often.stranger)])
def finish(request: Request, fields: Fields) -> Response:
    """Sign the browser in, with a new token."""
    service = service_of(request)
    session = signin.finish(service, text(fields, "ceremony"), mapping(fields, "credential"))
    if (before := token(request)) is not None:
        signin.end(service, before)  # the session of before sign-in ends with it
    answer = JSONResponse({"next": local_path(text(fields, "next"))})
    keep(answer, service, session)
    return answer


@router.post("/signout")
def sign_out(request: Request, _fields: Fields) -> Response:
    """End the session, here and in the database."""
    service = service_of(request)
    if (given := token(request)) is not None:
        signin.end(service, given)
    answer = JSONResponse({"next": "/signin"})
    forget(answer, service)
    return answer
