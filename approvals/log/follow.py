"""Reading the log by its places and not by what it is filed under.

A leaf's row names its tenant and its subject, so that the events of a subject can be found. No hash
covers these two columns: they are compared with what the leaf itself says. The leaves are hashed
along the way, so they are those of a checkpoint, and none is missing.

The cost is that of the leaves that are read: the tree on their left is taken up from its edge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson

from approvals.core.errors import ProofError
from approvals.core.merkle import leaf_hash
from approvals.log.tree import Frontier, StoredTree

if TYPE_CHECKING:
    from collections.abc import Iterator

    from approvals.core.tlog.leaves import Filed
    from approvals.log.tables import Tables

CHUNK: Final = 1024


class Follower:
    """Has read the leaves of a log up to `size`, and goes on from there."""

    def __init__(self, tables: Tables, *, start: int = 0) -> None:
        """Begin with leaf `start`; the leaves before it are believed until `verify`.

        Raises:
            ProofError: `log_incomplete`: the stored tree has gaps.
        """
        self._frontier = Frontier.of(StoredTree(tables, start))

    @property
    def size(self) -> int:
        """How many leaves lie behind."""
        return self._frontier.size

    def read(self, tables: Tables, end: int) -> Iterator[tuple[str, str, int]]:
        """Read on to leaf `end`; gives (tenant, subject, events so far) of each.

        Raises:
            ProofError: `log_incomplete`: a leaf is missing; `log_altered`: one is no leaf, or is
                filed under another subject than its own.
        """
        while self.size < end:
            start, stop = self.size, min(self.size + CHUNK, end)
            leaves = tables.filed(start, stop)
            for place, leaf in enumerate(leaves, start):
                if leaf.index != place:
                    raise _missing(place)
                yield _told(leaf)
                self._frontier.add(leaf_hash(leaf.leaf))
            if self.size != stop:
                raise _missing(self.size)

    def verify(self, root: bytes) -> None:
        """Hold everything that lies behind to the root of the checkpoint of this size.

        Raises:
            ProofError: `log_altered`: it is not what was signed.
        """
        if self._frontier.root() != root:
            raise ProofError(
                "the stored leaves do not hash to the checkpoint of their number",
                code="log_altered",
                place=f"checkpoint {self.size}",
            )


def _told(leaf: Filed) -> tuple[str, str, int]:
    """What a leaf says about itself, which its row must say as well."""
    try:
        event = orjson.loads(leaf.leaf)
        tenant, subject, number = event["tenant"], event["subject"], event["seq"]
    except (ValueError, KeyError, TypeError) as error:
        raise ProofError(
            "it is not the leaf of an event", code="log_altered", place=f"leaf {leaf.index}"
        ) from error
    if (leaf.tenant, leaf.subject) != (tenant, subject) or not isinstance(number, int):
        raise ProofError(
            "it is filed under another subject than the one that it is about",
            code="log_altered",
            place=f"leaf {leaf.index}",
        )
    return tenant, subject, number + 1


def _missing(place: int) -> ProofError:
    return ProofError("a leaf is missing", code="log_incomplete", place=f"leaf {place}")
