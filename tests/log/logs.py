"""Making logs to test with: events, signers, and a log of so many leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from approvals.core.history.events import Event, VoteApprove
from approvals.core.tlog.checkpoint import vkey
from approvals.log import append, sequence
from tests.log.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Iterable

    from approvals.log.tables import Database

NOW = 1_800_000_000


class Signer:
    """Who signs a log under a name."""

    def __init__(self, origin: str = "assent.example/log") -> None:
        self.origin = origin
        self.log_key = Ed25519PrivateKey.generate()
        self.vkey = vkey(origin, self.log_key.public_key())


def event(number: int, *, subject: str | None = None) -> Event:
    return VoteApprove(
        time=NOW + number,
        tenant="default",
        subject=subject or f"req_{number}",
        request_digest="d",
        statement=None,
        evidence=None,
        approver=f"person-{number}",
        reason=None,
        step_up="session",
        channel="web",
    )


def stage(store: Database, numbers: Iterable[int]) -> None:
    with store.begin() as tx:
        for number in numbers:
            append(tx, event(number))


def memory_log(signer: Signer, batches: Iterable[int]) -> MemoryStore:
    """A log in memory, one checkpoint a batch."""
    store = MemoryStore()
    grow(store, signer, batches)
    return store


def grow(store: Database, signer: Signer, batches: Iterable[int]) -> None:
    number = 0
    for batch in batches:
        stage(store, range(number, number + batch))
        assert sequence(store, signer, now=NOW, limit=max(batch, 1)) == batch
        number += batch


BATCHES = [3, 200, 60, 300, 37]
SIZES = [3, 203, 263, 563, 600]
"""How many leaves each checkpoint covers after these batches."""
SIGNER = Signer()
