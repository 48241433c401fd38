"""Who may see a request, and what of it they must have seen, for how long, before they approve."""

from __future__ import annotations

from typing import TYPE_CHECKING

from approvals.core.errors import NotFound
from approvals.flow.acting.session import verify_present

if TYPE_CHECKING:
    from approvals.config import Settings
    from approvals.flow.acting.session import Present, Session
    from approvals.flow.service import Service
    from approvals.store import Tx
    from approvals.store.requests import StoredRequest

FOLD = 1200
"""Characters of the shown payload that a page lays out before it folds the rest."""


def visible_to(
    service: Service, tx: Tx, session: Session, request_id: str, *, lock: bool = False
) -> tuple[Present, StoredRequest]:
    """The person, if they are signed in, and the request, if they are asked or it is for them.

    Raises:
        Unauthenticated: they are signed out, perhaps while this waited for the lock (`signed_out`).
        NotFound: there is none, or it is not for them to know of; the two look alike.
    """
    stored = tx.requests.get(tenant=session.tenant, request_id=request_id, lock=lock)
    who = verify_present(service, tx, session)
    if stored is None or not (
        stored.request.document.user == who.person
        or tx.requests.has_seat(request_id=request_id, person=who.person)
    ):
        raise NotFound("no such request")
    return who, stored


def require_visible(service: Service, session: Session, request_id: str) -> None:
    """Raise as `visible_to` does."""
    with service.store.read() as tx:
        visible_to(service, tx, session, request_id)


def needs_whole(stored: StoredRequest) -> bool:
    """Whether what will run is longer than the fold, so that it must be opened before approving."""
    return len(stored.shown.payload) > FOLD


def opened_whole(service: Service, session: Session, request_id: str) -> None:
    """Remember that the person has opened the whole of what will run.

    Raises:
        Unauthenticated: they are signed out (`signed_out`).
        NotFound: no such request for this person.
    """
    with service.store.begin() as tx:
        who, stored = visible_to(service, tx, session, request_id)
        tx.attention.mark_opened(request_id=stored.id, person=who.person, now=tx.now)


def seen(service: Service, session: Session, request_id: str) -> int:
    """Remember that the person has the request before them.

    Gives in how many seconds they may approve.

    Raises:
        Unauthenticated: they are signed out (`signed_out`).
        NotFound: no such request for this person.
    """
    with service.store.begin() as tx:
        who, stored = visible_to(service, tx, session, request_id)
        tx.attention.mark_seen(request_id=stored.id, person=who.person, now=tx.now)
        return to_look(tx, service.settings, who, stored.id) or 0


def to_look(tx: Tx, settings: Settings, who: Present, request_id: str) -> int | None:
    """For how many seconds more a person must look before they approve; None: they never looked.

    Against approving by reflex: who is asked often enough presses before they have read.
    """
    first = tx.attention.first_seen(request_id=request_id, person=who.person)
    return None if first is None else max(0, first + settings.view_seconds - tx.now)
