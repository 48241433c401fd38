"""A request changes state: stored, logged, told to those who wait and those who were asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from approvals import log
from approvals.core.history.events import Event, EventType
from approvals.core.requests import State
from approvals.flow.telling.outbox import stir
from approvals.store.requests import Seat

if TYPE_CHECKING:
    from approvals.core.canonical import Json
    from approvals.core.requests import Request
    from approvals.store import Tx

_EVENTS = {
    State.APPROVED: EventType.REQUEST_APPROVED,
    State.DENIED: EventType.REQUEST_DENIED,
    State.EXPIRED: EventType.REQUEST_EXPIRED,
    State.CANCELLED: EventType.REQUEST_CANCELLED,
    State.REVOKED: EventType.REQUEST_REVOKED,
}


def end(tx: Tx, request: Request, *, public: dict[str, Json] | None = None) -> None:
    """Store and log the state that a request has come to, and tell whoever must know."""
    tx.requests.put_state(request, now=tx.now, keep_open=request.state is State.APPROVED)
    log.append(
        tx,
        Event(
            type=_EVENTS[request.state],
            time=tx.now,
            tenant=request.document.tenant,
            subject=request.id,
            public={"request_digest": request.document.digest(), **(public or {})},
            secret={},
        ),
    )
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
