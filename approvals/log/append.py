"""Putting an event into the log, in the transaction that makes it true.

The event is handed to the transaction with a fresh salt. At the end of the transaction the store
gives it its number within its subject, seals it (what is secret becomes salted commitments) and
stages it. It has no index in the log yet, so no lock on the log is held while a request commits;
`sequence` gives it its place a moment later. If it cannot be staged the transaction fails, and what
it describes did not happen: nothing without its entry.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from approvals.core.history.events import Event
    from approvals.log.tables import Transaction


def append(tx: Transaction, event: Event) -> None:
    """Put `event` in line for the log when `tx` commits."""
    # A fresh salt for each event: equal values in two events must not have equal commitments, or
    # who appears twice could be read from a log in which nobody is named.
    tx.chains.stage(event, salt=secrets.token_bytes(32))
