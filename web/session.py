"""Who is looking: the session cookie, and what a page does with somebody it does not know.

What holds:
1. Under https the cookie is `__Host-assent`: Secure, HttpOnly, SameSite=Strict, this host only,
   so neither a script, nor a sibling domain, nor another site's link can use or set it. On
   http://localhost, where `__Host-` is not to be had, it is `assent`.
2. A new token is made at every sign-in and enrolment; one from before is never taken over
   (session fixation).
3. SameSite=Strict keeps the cookie back when a link in a mail or in Slack is followed. A signed-out
   visit from another site is answered by a page that opens the same address from our own origin;
   the cookie comes with that second visit.
"""

from typing import Annotated, cast
from urllib.parse import quote

from fastapi import Depends
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from approvals.config import Settings
from approvals.core.errors import Unauthenticated
from approvals.flow.acting.session import Session
from approvals.flow.people import signin
from approvals.flow.service import Service
from approvals.web.pages import page
from approvals.web.paths import local_path

__all__ = ["Session", "SignedOut", "Visitor", "forget", "keep", "service_of", "signed_in", "token"]

SAFE_METHODS = frozenset({"GET", "HEAD"})


class SignedOut(Exception):  # noqa: N818 - an outcome that leads to another page, not a failure
    """A page was asked for by somebody who is not signed in."""


def service_of(request: Request) -> Service:
    """The service that the pages are mounted on."""
    return cast("Service", request.app.state.web.service)


def cookie_name(settings: Settings) -> str:
    """The name of the session cookie; its prefix is a promise that the browser enforces."""
    return "__Host-assent" if settings.secure_cookies else "assent"


def token(request: Request) -> str | None:
    """The session token that came with the request, unchecked."""
    return request.cookies.get(cookie_name(service_of(request).settings))


def visitor(request: Request) -> Session | None:
    """The person looking, if they are signed in."""
    given = token(request)
    return None if given is None else signin.session(service_of(request), given)


Visitor = Annotated[Session | None, Depends(visitor)]


def signed_in(request: Request, session: Visitor) -> Session:
    """The signed-in person.

    Raises:
        SignedOut: nobody is signed in, and a page was asked for.
        Unauthenticated: nobody is signed in, and something was to be done.
    """
    if session is not None:
        return session
    if request.method in SAFE_METHODS and request.url.path != "/live":
        raise SignedOut
    raise Unauthenticated("sign in first", code="signed_out")


def keep(response: Response, service: Service, session_token: str) -> None:
    """Give the browser a session cookie."""
    settings = service.settings
    response.set_cookie(
        cookie_name(settings),
        session_token,
        max_age=settings.session_life,
        path="/",
        secure=settings.secure_cookies,
        httponly=True,
        samesite="strict",
    )


def forget(response: Response, service: Service) -> None:
    """Take the session cookie back."""
    settings = service.settings
    response.delete_cookie(
        cookie_name(settings),
        path="/",
        secure=settings.secure_cookies,
        httponly=True,
        samesite="strict",
    )


def to_sign_in(request: Request, _error: Exception) -> Response:
    """What somebody who is signed out sees instead of a page."""
    query = f"?{request.url.query}" if request.url.query else ""
    path = local_path(request.url.path + query)
    if request.headers.get("sec-fetch-site") == "cross-site":
        return page("hop.html", path=path)
    if path == "/":
        return RedirectResponse("/signin", status_code=303)
    return RedirectResponse(f"/signin?next={quote(path, safe='/')}", status_code=303)
