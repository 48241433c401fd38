"""The stored Merkle tree (RFC 6962), read and grown without ever being recomputed whole.

Stored are the leaf hashes and, of the inner nodes, only those over 256, 256², … leaves: exactly
what C2SP tlog-tiles publishes. Any other node is at most 255 hashes away from these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from approvals.core.errors import ProofError
from approvals.core.merkle import EMPTY_ROOT, node_hash, root

if TYPE_CHECKING:
    from approvals.log.tables import Tables

TILE_HEIGHT: Final = 8
TILE_WIDTH: Final = 1 << TILE_HEIGHT

Node = tuple[int, int, bytes]
"""Tile level, index at that level, and the root of the 256^level leaves under it."""


class StoredTree:
    """Reads nodes of the tree of the first `size` leaves; keeps each tile it read."""

    def __init__(self, tables: Tables, size: int) -> None:
        self.size = size
        self._tables = tables
        self._tiles: dict[tuple[int, int], list[bytes]] = {}

    def tile(self, level: int, index: int) -> list[bytes]:
        """The up to 256 hashes of a tile, as many as the tree has.

        Raises:
            ProofError: `log_incomplete`: the database has lost some of them.
        """
        known = self._tiles.get((level, index))
        if known is not None:
            return known
        start = index * TILE_WIDTH
        end = min(start + TILE_WIDTH, self.size >> (TILE_HEIGHT * level))
        if level == 0:
            hashes = self._tables.hashes(start, end)
        else:
            hashes = self._tables.nodes(level, start, end)
        if len(hashes) != max(end - start, 0):
            raise ProofError(
                "the stored log has gaps", code="log_incomplete", place=f"tile {level}/{index}"
            )
        self._tiles[level, index] = hashes
        return hashes

    def hash_of(self, start: int, end: int) -> bytes:
        """The root of leaves [start, end), a range that RFC 6962 cuts out of a tree.

        Its start is then a multiple of the largest power of two that is not above its length.
        """
        length = end - start
        height = length.bit_length() - 1
        if length != 1 << height:
            middle = start + (1 << height)
            return node_hash(self.hash_of(start, middle), self.hash_of(middle, end))
        level = height // TILE_HEIGHT
        first = start >> (TILE_HEIGHT * level)
        width = 1 << (height % TILE_HEIGHT)
        offset = first % TILE_WIDTH
        return root(self.tile(level, first // TILE_WIDTH)[offset : offset + width])


class Frontier:
    """The right edge of a growing tree: the roots of its full subtrees, largest first.

    There is one subtree for each one bit of `size`. Adding a leaf costs one hash on average, the
    root one for each bit.
    """

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[bytes] = []

    @classmethod
    def of(cls, tree: StoredTree) -> Frontier:
        """Take up the edge of a stored tree."""
        frontier = cls()
        frontier.size = tree.size
        start = 0
        for height in range(tree.size.bit_length() - 1, -1, -1):
            if tree.size >> height & 1:
                frontier._peaks.append(tree.hash_of(start, start + (1 << height)))
                start += 1 << height
        return frontier

    def add(self, leaf_hash: bytes) -> list[Node]:
        """Add a leaf; return the nodes this completed that tiles above the lowest are made of."""
        completed: list[Node] = []
        node, height = leaf_hash, 0
        while self.size >> height & 1:
            node = node_hash(self._peaks.pop(), node)
            height += 1
            if height % TILE_HEIGHT == 0:
                completed.append((height // TILE_HEIGHT, self.size >> height, node))
        self._peaks.append(node)
        self.size += 1
        return completed

    def root(self) -> bytes:
        """The root of the whole tree."""
        if not self._peaks:
            return EMPTY_ROOT
        *larger, node = self._peaks
        for peak in reversed(larger):
            node = node_hash(peak, node)
        return node
