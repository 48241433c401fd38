"""Which clicks in a chat count.

What holds:
1. A click can always deny. It approves only where every rule accepts a signed-in channel.
2. A signed callback takes effect once, whichever process receives it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from approvals.core.decision.ceremony import Decision, StepUp
from approvals.core.decision.vote import Vote
from approvals.core.errors import Conflict, Forbidden, Invalid, TransitionError
from approvals.core.requests import require_may_decide
from approvals.flow.acting.sight import visible_to
from approvals.flow.deciding.vote import LONGEST_REASON, count
from approvals.flow.service import DEFAULT_TENANT
from approvals.flow.telling.brief import brief

if TYPE_CHECKING:
    from approvals.core.requests import State
    from approvals.flow.acting.session import Session
    from approvals.flow.service import Service

CALLBACK_SECONDS = 3600


def once(service: Service, digest: str) -> bool:
    """Take a signed callback: true for the first who does, also after a restart or elsewhere."""
    with service.store.begin() as tx:
        tx.accounts.forget_callbacks(before=tx.now - CALLBACK_SECONDS)
        return tx.accounts.once(digest, tenant=DEFAULT_TENANT, now=tx.now)


def click(
    service: Service,
    session: Session,
    request_id: str,
    decision: Decision,
    *,
    reason: str | None,
    channel: str,
) -> State:
    """Count a click of a linked person; gives the request's new state.

    Raises:
        Unauthenticated: the account is not linked to them any more (`signed_out`).
        NotFound: no such request for this person.
        Forbidden: it asks for a passkey, or for the whole to be seen (`step_up_needed`).
        Conflict: it was opened too short a while ago to have been read (`looked_too_briefly`).
        TransitionError: it is over, they are not asked, or they have voted.
        Invalid: the reason is too long (`reason`).
    """
    if reason is not None and len(reason) > LONGEST_REASON:
        raise Invalid(
            f"a reason has at most {LONGEST_REASON} characters", code="reason", place="/reason"
        )
    with service.store.begin() as tx:
        who, stored = visible_to(service, tx, session, request_id, lock=True)
        require_may_decide(stored.request, who.person, now=tx.now)
        # What the notice shows decides here as well: a click may come from an old one, or be made.
        if decision is Decision.APPROVE and not brief(service, tx, stored).may_click:
            raise Forbidden("open the page and use your passkey", code="step_up_needed")
        if decision is Decision.APPROVE and (
            tx.now < stored.request.document.created + service.settings.view_seconds
        ):
            # Nobody can have had it before them for longer than it has been there.
            raise Conflict("take a moment to read what will run first", code="looked_too_briefly")
        vote = Vote(
            approver=who.person,
            decision=decision,
            step_up=StepUp.SESSION,
            time=tx.now,
            statement=None,
            evidence=None,
            reason=reason,
            channel=channel,
        )
        try:
            return count(service, tx, stored, vote)
        except TransitionError as error:
            if error.code == "step_up_too_low":
                raise Forbidden(
                    "open the page and use your passkey", code="step_up_needed"
                ) from error
            raise
