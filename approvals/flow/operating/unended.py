"""What the log tells a restore: what it has to end, and where each subject's events end.

Pending requests, unspent approvals and open invitations are ended through their rows. One whose row
is missing at that moment would be open again once the row is put back. So it is ended by its event
alone, against which each row is held when it is used: nobody keeps every later backup from being
restored by taking one row out. One whose row says that it is open although it ended would be ended
twice, so there the restore is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from approvals import log
from approvals.core.errors import ProofError
from approvals.core.history.events import (
    PERSON,
    ApprovalLapsed,
    CallAllowed,
    Event,
    InvitationEnded,
    PersonInvited,
    RequestApproved,
    RequestOpened,
    RequestRevoked,
)
from approvals.core.history.leaves import Chain
from approvals.core.history.rebuild import Use, follow
from approvals.core.requests import State
from approvals.flow.knowing.logged import Subject, open_invitation

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from approvals.store import Tx

BATCH: Final = 500


@dataclass(frozen=True, slots=True)
class Unended:
    """What is open by the log, and the event that would end it.

    By the id of the request or approval, and by the hash of the invitation's token.
    """

    requests: dict[str, Event] = field(default_factory=dict)
    approvals: dict[str, Event] = field(default_factory=dict)
    invitations: dict[str, Event] = field(default_factory=dict)

    @classmethod
    def told(cls, tx: Tx) -> Unended:
        """What is open by the whole log, of all tenants.

        Raises:
            ProofError: events do not follow one another (`chain`, `impossible`).
            Unavailable: the sealed values of an event are not those that it committed to
                (`row_altered`).
        """
        found = cls()
        for subject, leaves in tx.records.subjects():
            followed = follow(leaf for leaf, _ in leaves)
            for event in (told.event for told in followed.told):
                if isinstance(event, RequestOpened) and (
                    followed.became[event.subject] is State.PENDING
                ):
                    found.requests[event.subject] = RequestRevoked(
                        time=tx.now,
                        tenant=event.tenant,
                        subject=event.subject,
                        request_digest=event.request_digest,
                    )
                elif isinstance(event, CallAllowed | RequestApproved) and (
                    followed.became[event.approval] is Use.LIVE
                ):
                    found.approvals[event.approval] = ApprovalLapsed(
                        time=tx.now,
                        tenant=event.tenant,
                        subject=event.subject,
                        approval=event.approval,
                    )
            if subject.startswith(PERSON):
                openings = tuple(opening for _, opening in leaves)
                read = Subject(followed.told, openings, followed.became, followed.head)
                history = [*read.opened()]
                invitation = open_invitation(history)
                for event in (told.event for told in history):
                    if isinstance(event, PersonInvited) and event.invitation == invitation:
                        found.invitations[str(invitation)] = InvitationEnded(
                            time=tx.now,
                            tenant=event.tenant,
                            subject=event.subject,
                            person=event.person,
                            invitation=event.invitation,
                        )
        return found

    def end_others(
        self,
        tx: Tx,
        *,
        requests: Collection[str],
        approvals: Collection[str],
        invitations: Collection[str],
    ) -> None:
        """End by its event what has no row that says that it is open; these were ended.

        Raises:
            ProofError: one of them is not open by the log (`log_altered`).
        """
        for table, told, ended in (
            ("request", self.requests, requests),
            ("approval", self.approvals, approvals),
            ("invitation", self.invitations, invitations),
        ):
            for key in sorted(set(ended) - told.keys()):
                raise ProofError(
                    "by the log it is not open, and the database says that it is: put this row "
                    "back from the backup or delete it, and run this again",
                    code="log_altered",
                    place=f"{table} {key}",
                )
            for key in sorted(told.keys() - set(ended)):
                log.append(tx, told[key])


def mend_chains(tx: Tx) -> None:
    """Let the chain of each subject end where the log has its last event.

    Otherwise an event that follows a chain which was altered, or which lost events that were in
    line, would never get its place, and nothing after it either.

    Raises:
        ProofError: events do not follow one another (`chain`, `impossible`).
    """
    told: dict[tuple[str, str], Chain] = {}
    for _, leaves in tx.records.subjects():
        followed = follow(leaf for leaf, _ in leaves)
        event = followed.told[0].event
        told[event.tenant, event.subject] = Chain(len(leaves), followed.head)
        if len(told) == BATCH:
            _mend(tx, told)
            told = {}
    _mend(tx, told)
    tx.chains.forget_empty()


def _mend(tx: Tx, told: Mapping[tuple[str, str], Chain]) -> None:
    records = tx.records.some("chain", told)
    right = {
        key: Chain(record.values["count"], record.values["head"])
        for key, record in records.items()
        if record.sound
    }
    tx.chains.mend({key: end for key, end in told.items() if right.get(key) != end})
