"""What the log publishes, in the form of C2SP tlog-tiles: the checkpoint, tiles, entry bundles.

A tile at level L holds up to 256 hashes, each of a full subtree of 256^L leaves; an entry bundle
holds the leaves under a tile of level 0. A full one never changes and may be cached for ever; a
partial one (`.p/W`) is the beginning of what will become full.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from approvals.core.errors import NotFound, ProofError
from approvals.core.tlog.checkpoint import entry_bundle
from approvals.log.tree import TILE_HEIGHT, TILE_WIDTH, StoredTree

if TYPE_CHECKING:
    from approvals.log.tables import Transaction


def checkpoint(tx: Transaction) -> str:
    """The last signed checkpoint.

    Raises:
        NotFound: nothing was ever logged.
    """
    last = tx.log.latest_checkpoint()
    if last is None:
        raise NotFound("nothing was logged yet")
    return last.note


def tile(tx: Transaction, level: int, index: int, width: int | None = None) -> bytes:
    """The hashes of a tile, one after the other: all 256, or the first `width`.

    Raises:
        NotFound: the last checkpoint does not cover them all.
        ProofError: the stored log has gaps.
    """
    size, width = _check_covered(tx, level, index, width)
    return b"".join(StoredTree(tx.log, size).tile(level, index)[:width])


def entries(tx: Transaction, index: int, width: int | None = None) -> bytes:
    """The leaves under the tile `index` of level 0: all 256, or the first `width`.

    Raises:
        NotFound: the last checkpoint does not cover them all.
        ProofError: the stored log has gaps.
    """
    _, width = _check_covered(tx, 0, index, width)
    start = index * TILE_WIDTH
    leaves = tx.log.leaves(start, start + width)
    if len(leaves) != width:
        raise ProofError("the stored log has gaps", code="log_incomplete", place=f"entries {index}")
    return entry_bundle([leaf.leaf for leaf in leaves])


def _check_covered(tx: Transaction, level: int, index: int, width: int | None) -> tuple[int, int]:
    """The published size, and the width as a number."""
    last = tx.log.latest_checkpoint()
    size = 0 if last is None else last.size
    wanted = TILE_WIDTH if width is None else width
    covered = (
        (size >> (TILE_HEIGHT * level)) - index * TILE_WIDTH if 0 <= level < TILE_HEIGHT else 0
    )
    if index < 0 or not 1 <= wanted <= min(TILE_WIDTH, covered):
        raise NotFound("the log has no such tile")
    return size, wanted
