"""The events of an evidence file, held against the log's tree.

Each event must be in the log under the checkpoint, say what its opening says, and follow the one
before it. So a file cannot leave out an event between two others, nor tell them in another order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from approvals.core import merkle
from approvals.core.errors import EvidenceError, ProofError
from approvals.core.evidence_file.story import ToldEvent
from approvals.core.history.leaves import Chain, parse_leaf, verify_opening

if TYPE_CHECKING:
    from collections.abc import Sequence

    from approvals.core.evidence_file.document import LoggedEvent
    from approvals.core.tlog import checkpoint


@dataclass(frozen=True, slots=True)
class Logged:
    """The events found in the log, the chain that they make, and the values that are not shown."""

    told: tuple[ToldEvent, ...]
    chain: Chain
    unshown: tuple[str, ...]


def verify_events(events: Sequence[LoggedEvent], tree: checkpoint.Checkpoint) -> Logged:
    """The events of one subject, from its first on, as leaves of `tree`.

    Raises:
        ProofError: an event is not a leaf of the tree, or its opening is of another one.
        EvidenceError: an event before it is left out, or they are not in the order of the log.
    """
    told = []
    unshown = []
    chain = Chain()
    for position, event in enumerate(events):
        place = f"events[{position}]"
        try:
            merkle.verify_inclusion(
                leaf_hash=merkle.leaf_hash(event.leaf),
                index=event.index,
                size=tree.size,
                proof=event.proof,
                root=tree.root,
            )
            read = parse_leaf(event.leaf)
            opened = verify_opening(read, event.opening)
        except ProofError as error:
            raise ProofError(error.message, code=error.code, place=place) from error
        if read.link != chain.next():
            raise EvidenceError(
                f"the log has it as number {read.link.seq} of its subject, and the file has "
                f"{position} before it that lead to it",
                place=f"{place}.leaf",
            )
        chain.add(event.leaf)
        told.append(ToldEvent(place=place, event=opened))
        unshown += [f"{place}.{name}" for name in opened.erased()]
    indexes = [event.index for event in events]
    if indexes != sorted(set(indexes)):
        raise EvidenceError("not in the order of the log, or one twice", place="events")
    return Logged(tuple(told), chain, tuple(unshown))
