"""What the log needs from its neighbours: the tables of a transaction, and who signs.

The store and the keyring fit these without knowing them, and so does anything that keeps the same
promises: an auditor's copy of a log in memory is checked by the code that checks the database.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from contextlib import AbstractContextManager

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from approvals.core.history.events import Event
    from approvals.core.tlog.leaves import Filed, Leaf, Staged, StoredCheckpoint


class Chains(Protocol):
    """The chains of events within one transaction, one for each subject."""

    def stage(self, event: Event, *, salt: bytes) -> None:
        """Put an event in line for the log, after those of its subject, when this commits."""


class Tables(Protocol):
    """The log's rows within one transaction. Ranges are half open: `start` is in, `end` is not."""

    def staged(self, *, limit: int) -> list[Staged]:
        """The oldest events in line."""

    def staged_count(self) -> int:
        """How many events are in line."""

    def lasts(self, subjects: Collection[tuple[str, str]]) -> dict[tuple[str, str], bytes]:
        """The last leaf that is filed under each (tenant, subject), where there is one."""

    def unstage(self, ids: Sequence[int]) -> None:
        """Take events out of the line."""

    def append(self, leaves: Sequence[Leaf]) -> None:
        """Store leaves in their places; raises if a place is taken."""

    def leaves(self, start: int, end: int) -> list[Leaf]:
        """The leaves of a range that there are, in order."""

    def filed(self, start: int, end: int) -> list[Filed]:
        """As `leaves`, without what opens them, which may be large."""

    def hashes(self, start: int, end: int) -> list[bytes]:
        """The leaf hashes of a range that there are, in order."""

    def leaf_count(self) -> int:
        """How many leaves there are."""

    def put_nodes(self, level: int, start: int, hashes: Sequence[bytes]) -> None:
        """Store hashes of full subtrees of 256^level leaves."""

    def nodes(self, level: int, start: int, end: int) -> list[bytes]:
        """The stored hashes of full subtrees of 256^level leaves, in order."""

    def put_checkpoint(self, checkpoint: StoredCheckpoint) -> None:
        """Store a checkpoint; raises if there is one of that size."""

    def latest_checkpoint(self) -> StoredCheckpoint | None:
        """The largest checkpoint."""

    def checkpoints(self) -> Iterator[StoredCheckpoint]:
        """Iterate over every checkpoint, smallest first."""

    def lead(self) -> bool:
        """Become the one sequencer until the transaction ends; False if another process is."""


class Transaction(Protocol):
    """Part of a transaction: what is done here commits with everything else or not at all."""

    @property
    def chains(self) -> Chains:
        """The chains that events are added to."""

    @property
    def log(self) -> Tables:
        """The log's rows."""


class Database(Protocol):
    """Where transactions come from."""

    def begin(self) -> AbstractContextManager[Transaction]:
        """Begin a transaction that may write and commits at the end of the block."""

    def read(self) -> AbstractContextManager[Transaction]:
        """Begin a transaction that only reads."""


class Signer(Protocol):
    """Who signs checkpoints, under which name."""

    @property
    def log_key(self) -> Ed25519PrivateKey:
        """The key that signs."""

    @property
    def origin(self) -> str:
        """The log's name."""

    @property
    def vkey(self) -> str:
        """The key that verifies, as C2SP signed-note writes it."""
