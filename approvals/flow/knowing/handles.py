"""Whether everybody who has something by the log has the handle that leads to their events.

The handle is in one row. Without it nobody's passkeys, invitations and chat accounts can be ended:
their end would be logged under another subject, and what they had would hold again once the row is
put back. So whoever ends them for good compares the handles with the log first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from approvals.core.errors import Unavailable
from approvals.core.history.events import PERSON, OfPerson
from approvals.flow.knowing.logged import enrolled, events_of, linked, open_invitation
from approvals.flow.knowing.subjects import subject_of
from approvals.store.seals import ROW_ALTERED

if TYPE_CHECKING:
    from approvals.flow.knowing.logged import Subject
    from approvals.store import Tx


def verify_handles(tx: Tx, *, tenant: str, staying: frozenset[str] = frozenset()) -> None:
    """Refuse to go on where somebody has something by the log, and their handle is missing.

    A handle whose seal does not hold is missing as well. Those who are `staying` are not looked at.
    Costs what is logged of people who have no handle: those who left.

    Raises:
        Unavailable: the row is named, with the remedy (`row_altered`).
    """
    known = {subject_of(handle) for handle in tx.passkeys.sound_handles(tenant).values()}
    for subject in tx.chains.subjects(tenant=tenant, about=PERSON):
        if subject in known:
            continue
        person = _holder(events_of(tx, tenant=tenant, subject=subject))
        if person is not None and person not in staying:
            raise Unavailable(
                f"the handle of {person} (tenant {tenant}) is missing or altered, and without it "
                "nothing that they have can be ended: put this row of the table handle back from "
                "the backup, or restore another backup, and run this again",
                code=ROW_ALTERED,
            )


def _holder(subject: Subject) -> str | None:
    """Who has something by these events; None: nobody has anything."""
    history = [*subject.opened()]
    people = [person for person, _ in enrolled(history).values()]
    people += linked(history).values()
    if open_invitation(history) is not None:
        people += [told.event.person for told in history if isinstance(told.event, OfPerson)]
    return str(people[0]) if people else None
