"""The caller withdraws its request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from approvals.core.requests import cancel as cancel_request
from approvals.flow.status import RequestStatus, own, status_of
from approvals.flow.transition import end

if TYPE_CHECKING:
    from approvals.flow.acting.caller import Caller
    from approvals.flow.service import Service


def cancel(service: Service, caller: Caller, request_id: str) -> RequestStatus:
    """Withdraw a pending request.

    Raises:
        Unauthenticated: the caller is not a registered enforcer any more.
        NotFound: no such request of this caller.
        TransitionError: it is decided or its time has passed (`not_pending`, `expired`).
    """
    with service.store.begin() as tx:
        stored = own(service, tx, caller, request_id, lock=True)
        end(tx, cancel_request(stored.request, now=tx.now))
        return status_of(service, tx, own(service, tx, caller, request_id))
