"""The inbox: the requests that wait for the person, then the rest."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from approvals.flow.deciding import look
from approvals.web.pages import page
from approvals.web.present.inbox import inbox_page
from approvals.web.session import Session, service_of, signed_in

router = APIRouter(include_in_schema=False)


@router.api_route("/", methods=["GET", "HEAD"])
def show(request: Request, session: Annotated[Session, Depends(signed_in)]) -> Response:
    """List what concerns the person."""
    cards = look.inbox(service_of(request), session)
    return page("inbox.html", inbox=inbox_page(cards), person=session.name, here="inbox")
