"""What a caller is told about its request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from approvals.core.decision.ceremony import Decision
from approvals.core.errors import NotFound
from approvals.core.requests import State, progress
from approvals.flow.acting import access

if TYPE_CHECKING:
    from approvals.core.requests import Request
    from approvals.flow.acting.caller import Caller
    from approvals.flow.service import Service
    from approvals.store import Tx
    from approvals.store.requests import StoredRequest


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one requirement is filled."""

    rule: str
    reason: str
    approvers: tuple[str, ...]
    step_up: str
    quorum: int
    filled: int


@dataclass(frozen=True, slots=True)
class Denial:
    """Who denied and the reason they gave, as data for the agent.

    `retry_after` is in how many seconds people may be asked about the same call again.
    """

    approver: str
    reason: str | None
    retry_after: int


@dataclass(frozen=True, slots=True)
class RequestStatus:
    """A request as its enforcer sees it. `approval` is there once it is issued."""

    id: str
    state: State
    digest: str
    call_hash: str
    created: int
    expires: int
    url: str
    progress: tuple[Progress, ...]
    denial: Denial | None
    approval: str | None


def effective_state(request: Request, *, now: int) -> State:
    """The state as it is at `now`: a pending request whose time has passed is expired."""
    if request.state is State.PENDING and now >= request.document.expires:
        return State.EXPIRED
    return request.state


def status_of(service: Service, tx: Tx, stored: StoredRequest) -> RequestStatus:
    """The status of a request that was read in this transaction."""
    request = stored.request
    approval = tx.approvals.of(tenant=request.document.tenant, txn=request.id)
    denial = next((vote for vote in request.votes if vote.decision is Decision.DENY), None)
    return RequestStatus(
        id=request.id,
        state=effective_state(request, now=tx.now),
        digest=request.document.digest(),
        call_hash=request.document.call_hash,
        created=request.document.created,
        expires=request.document.expires,
        url=service.url(f"/r/{request.id}"),
        progress=tuple(
            Progress(
                rule=requirement.rule,
                reason=requirement.reason,
                approvers=requirement.approvers,
                step_up=requirement.step_up.value,
                quorum=needed,
                filled=filled,
            )
            for requirement, filled, needed in progress(request)
        ),
        denial=None
        if denial is None
        else Denial(
            denial.approver,
            denial.reason,
            max(0, denial.time + service.settings.cooldown - tx.now),
        ),
        approval=None if approval is None else approval.token,
    )


def status(service: Service, caller: Caller, request_id: str) -> RequestStatus:
    """The status of the caller's request.

    Raises:
        Unauthenticated: the caller is not a registered enforcer any more.
        NotFound: there is none, or it is another enforcer's; the two look alike.
    """
    with service.store.read() as tx:
        return status_of(service, tx, own(service, tx, caller, request_id))


def own(
    service: Service, tx: Tx, caller: Caller, request_id: str, *, lock: bool = False
) -> StoredRequest:
    """The request, if the caller submitted it and its target and agent are still the caller's.

    Raises:
        Unauthenticated: the caller is not a registered enforcer any more.
        NotFound: in all other cases, so that they look alike.
    """
    stored = tx.requests.get(tenant=caller.tenant, request_id=request_id, lock=lock)
    enforcer = access.enforcer_of(service, tx, caller)
    if (
        stored is None
        or stored.enforcer != caller.enforcer
        or not enforcer.serves(target=stored.target, agent=stored.request.document.agent)
    ):
        raise NotFound("no such request")
    return stored
