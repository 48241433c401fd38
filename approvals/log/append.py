"""Putting an event into the log, in the transaction that makes it true.

The event is sealed (personal parts become salted commitments) and staged. It has no index yet, so
no lock is held while a request commits; `sequence` gives it its place a moment later. If it cannot
be staged the transaction fails, and what it describes did not happen: nothing without its entry.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from approvals.core.events import seal

if TYPE_CHECKING:
    from approvals.core.events import Event
    from approvals.log.tables import Transaction


def append(tx: Transaction, event: Event, *, request_id: str | None = None) -> None:
    """Stage `event`; `request_id` is the request or verdict it is about, to find its leaves by."""
    # A fresh salt for each event: equal values in two events must not have equal commitments, or
    # who appears twice could be read from a log in which nobody is named.
    sealed = seal(event, salt=secrets.token_bytes(32))
    tx.log.stage(sealed.leaf, {**sealed.opening}, tenant=event.tenant, subject=request_id)
