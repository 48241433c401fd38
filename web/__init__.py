"""The pages on which people look at a call and decide on it.

What holds: a page is drawn from what the service stored, never from what an agent sent; GET and
HEAD change nothing; nothing is loaded from another origin; a decision is a passkey's signature over
the statement, and no click, cookie or link stands for one.

The application that the pages are mounted on turns errors into problem+json; `errors` draws those
as pages where a person reads.
"""

from dataclasses import dataclass

from fastapi import Depends, FastAPI
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from approvals.flow.rates import Rates
from approvals.flow.service import Service
from approvals.web import enrol, figures, inbox, live, me, requests, signin
from approvals.web.errors import ErrorPages
from approvals.web.headers import SecurityHeaders
from approvals.web.live import Hub
from approvals.web.pages import FOLDER
from approvals.web.posts import same_origin
from approvals.web.session import SignedOut, to_sign_in

__all__ = ["Web", "mount"]


BROWSERS = 4
"""Browsers that may begin as often as one may, before their person is held back."""


@dataclass(frozen=True, slots=True)
class Web:
    """What the pages need: the service, who listens for changes, how often people may begin."""

    service: Service
    hub: Hub
    strangers: Rates
    browsers: Rates
    people: Rates


class _OwnFiles(StaticFiles):
    """Style, script and icon: public, kept by browsers, asked about again at each use (ETag)."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, with how long a copy of it is good for."""
        answer = await super().get_response(path, scope)
        answer.headers["Cache-Control"] = "no-cache"
        return answer


def mount(app: FastAPI, service: Service, *, streams: int) -> None:
    """Add the pages, their files, their headers and their error pages to `app`.

    At most `streams` pages hear of changes at one time.
    """
    settings = service.settings
    app.state.web = Web(
        service,
        Hub(service.store.listen, total=streams),
        strangers=Rates(
            each=settings.ceremonies_per_minute, overall=settings.ceremonies_per_minute_overall
        ),
        browsers=Rates(each=settings.ceremonies_per_minute),
        people=Rates(each=BROWSERS * settings.ceremonies_per_minute),
    )
    for each in (inbox, requests, enrol, signin, me, live, figures):
        app.include_router(each.router, dependencies=[Depends(same_origin)])
    app.mount("/static", _OwnFiles(directory=FOLDER / "static"), name="static")
    app.add_exception_handler(SignedOut, to_sign_in)
    app.add_middleware(ErrorPages)
    app.add_middleware(SecurityHeaders, https=service.settings.secure_cookies)
