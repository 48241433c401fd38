"""A request's page, and the decision that is made on it.

What holds: a GET changes nothing; that the page was on a screen, and that the whole was opened, is
told by the script and remembered by the service, which refuses an approval without it, whatever the
page shows; the decision is what the passkey signed, not what the last request of the script says it
was.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Path
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from approvals.core.decision.ceremony import Decision
from approvals.core.errors import Invalid
from approvals.flow.acting import sight
from approvals.flow.deciding import look, vote
from approvals.web import often
from approvals.web.pages import page
from approvals.web.paths import ID
from approvals.web.posts import Fields, mapping, text
from approvals.web.present.request import request_page
from approvals.web.session import Session, service_of, signed_in

router = APIRouter(prefix="/r/{request_id}", include_in_schema=False)

RequestId = Annotated[str, Path(pattern=ID)]
Person = Annotated[Session, Depends(signed_in)]


@router.api_route("", methods=["GET", "HEAD"])
def show(request: Request, request_id: RequestId, session: Person) -> Response:
    """The request, if it is for this person to see."""
    view = look.request(service_of(request), session, request_id)
    return page("request.html", r=request_page(view), person=session.name, now=view.now)


@router.post("/seen")
def seen(request: Request, request_id: RequestId, session: Person, _fields: Fields) -> Response:
    """Remember that the page is before the person; says in how many seconds they may approve."""
    wait = sight.seen(service_of(request), session, request_id)
    return JSONResponse({"wait": wait})


@router.post("/opened")
def opened(request: Request, request_id: RequestId, session: Person, _fields: Fields) -> Response:
    """Remember that the person has opened the whole of what will run."""
    sight.opened_whole(service_of(request), session, request_id)
    return JSONResponse({"opened": True})


@router.post("/decide/begin", dependencies=[Depends(often.person)])
def begin(request: Request, request_id: RequestId, session: Person, fields: Fields) -> Response:
    """Options for `navigator.credentials.get`, whose challenge is the decision's digest."""
    asked = text(fields, "decision")
    if asked not in frozenset(Decision):
        raise Invalid("approve or deny", code="invalid", place="/decision")
    challenge = vote.begin(service_of(request), session, request_id, Decision(asked))
    return JSONResponse(
        {"ceremony": challenge.id, "statement": challenge.text, "options": challenge.options}
    )


@router.post("/decide/finish")
def finish(request: Request, request_id: RequestId, session: Person, fields: Fields) -> Response:
    """Count the decision that the passkey signed."""
    service = service_of(request)
    sight.require_visible(service, session, request_id)
    ceremony, credential = text(fields, "ceremony"), mapping(fields, "credential")
    reason = text(fields, "reason").strip() or None
    state = service.store.retry(
        lambda: vote.finish(service, session, ceremony, credential, reason=reason)
    )
    return JSONResponse({"state": state.value})
