"""How often a page may begin something that costs: strangers by their address, people by name.

Asked before the body is read and before the database is; 429 `rate_limited` says when to come back.
"""

import time
from typing import Annotated, cast

from fastapi import Depends
from starlette.requests import Request

from approvals.flow.rates import Rates, network_of
from approvals.web.session import Session, signed_in


async def stranger(request: Request) -> None:
    """Count a step of somebody who is not signed in.

    Raises:
        TooMany: too many from this address, or from all (`rate_limited`).
    """
    address = "" if request.client is None else request.client.host
    rates = cast("Rates", request.app.state.web.strangers)
    rates.take(network_of(address), now=time.monotonic())


async def person(request: Request, session: Annotated[Session, Depends(signed_in)]) -> None:
    """Count a step of a signed-in browser, and of its person.

    The browser's own budget is taken from first, so that one with a stolen session does not use up
    what its person needs to deny, or to end that session.

    Raises:
        TooMany: too many by this browser or this person (`rate_limited`).
    """
    web, now = request.app.state.web, time.monotonic()
    cast("Rates", web.browsers).take(str(session.by), now=now)
    cast("Rates", web.people).take(f"{session.tenant}/{session.person}", now=now)
