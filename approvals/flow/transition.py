"""A request changes state: stored, logged, told to those who wait and those who were asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from approvals import log
from approvals.core.history.events import (
    OfRequest,
    RequestApproved,
    RequestCancelled,
    RequestDenied,
    RequestExpired,
    RequestRevoked,
)
from approvals.core.requests import State
from approvals.flow.telling.outbox import stir
from approvals.store.requests import Seat

if TYPE_CHECKING:
    from collections.abc import Mapping

    from approvals.core.requests import Request
    from approvals.store import Tx

_ENDS: Final[Mapping[State, type[OfRequest]]] = {
    State.DENIED: RequestDenied,
    State.EXPIRED: RequestExpired,
    State.CANCELLED: RequestCancelled,
    State.REVOKED: RequestRevoked,
}


def approve(tx: Tx, request: Request, *, approval: str, token: str) -> None:
    """As `end`, of a request for which this approval was issued; `token` is its digest."""
    event = RequestApproved(
        time=tx.now,
        tenant=request.document.tenant,
        subject=request.id,
        request_digest=request.document.digest(),
        approval=approval,
        token=token,
    )
    _end(tx, request, event)


def end(tx: Tx, request: Request) -> None:
    """Store and log the state that a request has come to, and tell whoever must know."""
    event = _ENDS[request.state](
        time=tx.now,
        tenant=request.document.tenant,
        subject=request.id,
        request_digest=request.document.digest(),
    )
    _end(tx, request, event)


def _end(tx: Tx, request: Request, event: OfRequest) -> None:
    tx.requests.put_state(request, now=tx.now, keep_open=request.state is State.APPROVED)
    log.append(tx, event)
    announce(tx, request)


def announce(tx: Tx, request: Request) -> None:
    """Wake those who wait for the request, the pages of those who were asked, and the channels."""
    stir(tx, tenant=request.document.tenant, subject=request.id)
    tx.announce(request.id)
    for person in (*asked(request), request.document.user):
        tx.announce(f"person:{person}")


def seats(request: Request) -> list[Seat]:
    """Everyone who is asked about the request, with the rules for which."""
    requirements = request.document.requirements
    return [
        Seat(person, tuple(each.rule for each in requirements if each.asks(person)))
        for person in asked(request)
    ]


def asked(request: Request) -> list[str]:
    """Everyone who is asked about the request."""
    return sorted({person for each in request.document.requirements for person in each.eligible})
