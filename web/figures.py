"""How people decide, for operators; for everybody else there is no such page."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from approvals.flow.auditing import figures
from approvals.web.pages import page
from approvals.web.present.figures import figures_page
from approvals.web.session import Session, service_of, signed_in

router = APIRouter(include_in_schema=False)


@router.api_route("/figures", methods=["GET", "HEAD"])
def show(request: Request, session: Annotated[Session, Depends(signed_in)]) -> Response:
    """Tables of the last days' decisions, and a plot drawn here, without a script."""
    found = figures.figures(service_of(request), session)
    return page("figures.html", f=figures_page(found), person=session.name, here="figures")
