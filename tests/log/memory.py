"""A log kept in memory: the tables of the real one, with transactions that all happen or none."""

from __future__ import annotations

import copy
import dataclasses
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import orjson

from approvals.core.history.leaves import Link, seal
from approvals.core.merkle import leaf_hash
from approvals.core.tlog.leaves import Filed, Leaf, Staged, StoredCheckpoint

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from approvals.core.history.events import Event


@dataclass
class Rows:
    """What the database would hold; tests reach in to do what an attacker with its password can."""

    next_id: int = 1
    chain: dict[tuple[str, str], tuple[int, bytes | None]] = field(default_factory=dict)
    line: dict[int, Staged] = field(default_factory=dict)
    leaf: dict[int, Leaf] = field(default_factory=dict)
    node: dict[tuple[int, int], bytes] = field(default_factory=dict)
    checkpoint: dict[int, StoredCheckpoint] = field(default_factory=dict)

    def copied(self) -> Rows:
        return Rows(
            self.next_id,
            copy.copy(self.chain),
            copy.copy(self.line),
            copy.copy(self.leaf),
            copy.copy(self.node),
            copy.copy(self.checkpoint),
        )

    def edit_leaf(self, index: int, **changes: object) -> None:
        self.leaf[index] = dataclasses.replace(self.leaf[index], **changes)  # type: ignore[arg-type]

    def edit_checkpoint(self, size: int, **changes: object) -> None:
        self.checkpoint[size] = dataclasses.replace(self.checkpoint[size], **changes)  # type: ignore[arg-type]


class MemoryChains:
    """What one transaction adds events to."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def stage(self, event: Event, *, salt: bytes) -> None:
        key = (event.tenant, event.subject)
        count, head = self._rows.chain.get(key, (0, None))
        sealed = seal(event, link=Link(count, head), salt=salt)
        self._rows.chain[key] = (count + 1, leaf_hash(sealed.leaf))
        number = self._rows.next_id
        self._rows.next_id += 1
        self._rows.line[number] = Staged(
            number, event.tenant, event.subject, sealed.leaf, orjson.dumps(sealed.opening).decode()
        )


class MemoryTables:
    """One transaction's view."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def staged(self, *, limit: int) -> list[Staged]:
        return [self._rows.line[number] for number in sorted(self._rows.line)[:limit]]

    def lasts(self, subjects: Collection[tuple[str, str]]) -> dict[tuple[str, str], bytes]:
        filed = (self._rows.leaf[index] for index in sorted(self._rows.leaf))
        lasts = {(leaf.tenant, leaf.subject): leaf.leaf for leaf in filed}
        return {key: lasts[key] for key in subjects if key in lasts}

    def staged_count(self) -> int:
        return len(self._rows.line)

    def unstage(self, ids: Sequence[int]) -> None:
        for number in ids:
            del self._rows.line[number]

    def append(self, leaves: Sequence[Leaf]) -> None:
        for leaf in leaves:
            assert leaf.index not in self._rows.leaf
            self._rows.leaf[leaf.index] = leaf

    def leaves(self, start: int, end: int) -> list[Leaf]:
        return [self._rows.leaf[index] for index in range(start, end) if index in self._rows.leaf]

    def filed(self, start: int, end: int) -> list[Filed]:
        return [
            Filed(leaf.index, leaf.tenant, leaf.subject, leaf.leaf)
            for leaf in self.leaves(start, end)
        ]

    def hashes(self, start: int, end: int) -> list[bytes]:
        return [leaf.hash for leaf in self.leaves(start, end)]

    def leaf_count(self) -> int:
        return len(self._rows.leaf)

    def put_nodes(self, level: int, start: int, hashes: Sequence[bytes]) -> None:
        for index, node in enumerate(hashes, start):
            assert (level, index) not in self._rows.node
            self._rows.node[level, index] = node

    def nodes(self, level: int, start: int, end: int) -> list[bytes]:
        return [
            self._rows.node[level, index]
            for index in range(start, end)
            if (level, index) in self._rows.node
        ]

    def put_checkpoint(self, checkpoint: StoredCheckpoint) -> None:
        assert checkpoint.size not in self._rows.checkpoint
        self._rows.checkpoint[checkpoint.size] = checkpoint

    def latest_checkpoint(self) -> StoredCheckpoint | None:
        return self._rows.checkpoint[max(self._rows.checkpoint)] if self._rows.checkpoint else None

    def checkpoints(self) -> Iterator[StoredCheckpoint]:
        for size in sorted(self._rows.checkpoint):
            yield self._rows.checkpoint[size]

    def lead(self) -> bool:
        return True


class MemoryTx:
    """A transaction over rows in memory."""

    def __init__(self, rows: Rows) -> None:
        self.chains = MemoryChains(rows)
        self.log = MemoryTables(rows)


class MemoryStore:
    """Transactions over rows in memory."""

    def __init__(self) -> None:
        self.rows = Rows()

    @contextmanager
    def begin(self) -> Iterator[MemoryTx]:
        rows = self.rows.copied()
        yield MemoryTx(rows)
        self.rows = rows

    @contextmanager
    def read(self) -> Iterator[MemoryTx]:
        yield MemoryTx(self.rows)
