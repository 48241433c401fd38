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
    """Count a step of a signed-in person.

    Raises:
        TooMany: too many by this person (`rate_limited`).
    """
    rates = cast("Rates", request.app.state.web.people)
    rates.take(f"{session.tenant}/{session.person}", now=time.monotonic())
