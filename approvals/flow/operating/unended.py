"""What the log tells a restore: what it has to end, and where each subject's events end.

Pending requests, unspent approvals and open invitations are ended through their rows. One whose row
is missing at that moment would be open again once the row is put back, and one whose row says that
it is open although it ended would be ended twice. So the restore compares what it ends with what
the log tells, and is refused where they differ.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from approvals.core.errors import ProofError
from approvals.core.history.events import PERSON
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
    """Pending requests, unspent approvals, and the hashes of open invitations' tokens."""

    requests: set[str] = field(default_factory=set)
    approvals: set[str] = field(default_factory=set)
    invitations: set[str] = field(default_factory=set)

    @classmethod
    def told(cls, tx: Tx) -> Unended:
        """What is open by the whole log, of all tenants.

        Raises:
            ProofError: events do not follow one another (`chain`, `impossible`).
            Unavailable: the secret values of an event are not those that it committed to
                (`row_altered`).
        """
        found = cls()
        for subject, leaves in tx.records.subjects():
            followed = follow(leaf for leaf, _ in leaves)
            for name, became in followed.became.items():
                if became is State.PENDING:
                    found.requests.add(name)
                elif became is Use.LIVE:
                    found.approvals.add(name)
            if subject.startswith(PERSON):
                openings = tuple(opening for _, opening in leaves)
                events = Subject(followed.told, openings, followed.became, followed.head)
                invitation = open_invitation(events.opened())
                if invitation is not None:
                    found.invitations.add(str(invitation))
        return found

    def verify_ended(
        self,
        *,
        requests: Collection[str],
        approvals: Collection[str],
        invitations: Collection[str],
    ) -> None:
        """Hold what was ended against what the log told to be open.

        Raises:
            ProofError: something is open by the log and has no row that says so, or the other way
                round (`log_altered`).
        """
        for table, told, ended in (
            ("request", self.requests, requests),
            ("approval", self.approvals, approvals),
            ("invitation", self.invitations, invitations),
        ):
            for key in sorted(told ^ set(ended)):
                said = "is open" if key in told else "is not open"
                raise ProofError(
                    f"by the log it {said}, and the database says otherwise: put this row back "
                    "from the backup, or restore another backup, and run this again",
                    code="log_altered",
                    place=f"{table} {key}",
                )


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
