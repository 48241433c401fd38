"""The Merkle tree of RFC 6962, and the two proofs over it.

A log's root names everything in it and the order that it is in. An inclusion proof shows that a
leaf is in the tree of a given root; a consistency proof shows that one tree is the beginning of
another, so that nothing was taken out or changed in between. Verification follows RFC 9162 sections
2.1.3.2 and 2.1.4.2, step by step; the hashing of both documents is the same: SHA-256, a leaf under
0x00, a node under 0x01, so that a node can never be shown as a leaf.
"""

from __future__ import annotations

from hashlib import sha256
from hmac import compare_digest
from typing import TYPE_CHECKING, Final

from approvals.core.errors import ProofError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HASH_BYTES: Final = 32
MAX_SIZE: Final = 2**63 - 1
EMPTY_ROOT: Final = sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    """Hash an entry as a leaf."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two subtrees into the node above them."""
    return sha256(b"\x01" + left + right).digest()


class Accumulator:
    """The root of leaves that come one after the other, kept in a few hashes."""

    def __init__(self) -> None:
        self.size = 0
        # Complete subtrees of ever smaller size from left to right, as the bits of the size say.
        self._peaks: list[tuple[int, bytes]] = []

    def add(self, leaf: bytes) -> None:
        """Put the hash of the next leaf to those before it."""
        height, subtree = 0, leaf
        while self._peaks and self._peaks[-1][0] == height:
            subtree = node_hash(self._peaks.pop()[1], subtree)
            height += 1
        self._peaks.append((height, subtree))
        self.size += 1

    def root(self) -> bytes:
        """The root over the leaves so far: MTH of RFC 6962 section 2.1."""
        if not self._peaks:
            return EMPTY_ROOT
        *before, (_, whole) = self._peaks
        for _, subtree in reversed(before):
            whole = node_hash(subtree, whole)
        return whole


def root(leaf_hashes: Sequence[bytes]) -> bytes:
    """Compute the root over leaf hashes: MTH of RFC 6962 section 2.1."""
    tree = Accumulator()
    for leaf in leaf_hashes:
        tree.add(leaf)
    return tree.root()


def inclusion_proof(index: int, size: int, hash_of: Callable[[int, int], bytes]) -> list[bytes]:
    """Make the proof that a leaf is in a tree of `size` leaves (PATH, RFC 6962 section 2.1.1).

    `hash_of(start, end)` gives the root over the leaves from `start` up to, and without, `end`.

    Raises:
        ProofError: there is no such leaf.
    """
    _require_sizes(0 <= index < size <= MAX_SIZE)
    start, end = 0, size
    proof: list[bytes] = []
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            proof.append(hash_of(middle, end))
            end = middle
        else:
            proof.append(hash_of(start, middle))
            start = middle
    return proof[::-1]


def consistency_proof(size1: int, size2: int, hash_of: Callable[[int, int], bytes]) -> list[bytes]:
    """Make the proof that one tree begins another (PROOF, RFC 6962 section 2.1.2).

    `hash_of` is as for `inclusion_proof`. From an empty tree, and between equal trees, it is empty.

    Raises:
        ProofError: the sizes are not in order.
    """
    _require_sizes(0 <= size1 <= size2 <= MAX_SIZE)
    if size1 in {0, size2}:
        return []
    start, end = 0, size2
    proof: list[bytes] = []
    while end != size1:
        middle = start + _split(end - start)
        if size1 <= middle:
            proof.append(hash_of(middle, end))
            end = middle
        else:
            proof.append(hash_of(start, middle))
            start = middle
    # What is left is a complete subtree of the first tree; the verifier has it if it is the whole
    # of it.
    if start > 0:
        proof.append(hash_of(start, end))
    return proof[::-1]


def verify_inclusion(
    *, leaf_hash: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """Check that this leaf stands at `index` in the tree of `size` leaves under `root`.

    Raises:
        ProofError: code inclusion; it is not shown.
    """
    _require_counts("inclusion", index, size)
    _require_hashes("inclusion", leaf_hash, root, *proof)
    # 1. An index outside of the tree proves nothing.
    _require(
        0 <= index < size <= MAX_SIZE, "inclusion", "the leaf's index lies outside of the tree"
    )
    # 2. and 3. The position of the leaf, that of the last leaf, and the hash so far.
    position, last = index, size - 1
    so_far = leaf_hash
    # 4. Up the tree.
    for sibling in proof:
        # a. A proof that is too long.
        _require(last > 0, "inclusion", "the proof is longer than the tree is high")
        # b. A right child, or the last node of a level that has no right sibling.
        if position & 1 or position == last:
            so_far = node_hash(sibling, so_far)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            so_far = node_hash(so_far, sibling)
        # c. One level up.
        position >>= 1
        last >>= 1
    # 5. The whole way up, and to the same root.
    _require(last == 0, "inclusion", "the proof is shorter than the tree is high")
    _require(compare_digest(so_far, root), "inclusion", "the proof leads to another root")


def verify_consistency(
    *, size1: int, root1: bytes, size2: int, root2: bytes, proof: Sequence[bytes]
) -> None:
    """Check that the `size1` leaves under `root1` are the first of the `size2` under `root2`.

    Raises:
        ProofError: code consistency; it is not shown.
    """
    code = "consistency"
    _require_counts(code, size1, size2)
    _require_hashes(code, root1, root2, *proof)
    _require(0 <= size1 <= size2 <= MAX_SIZE, code, "the first tree is larger than the second")
    if size1 in {0, size2}:
        # An empty tree begins every tree, and a tree begins itself: there is nothing to prove, and
        # whatever is offered as a proof was made for something else.
        expected = EMPTY_ROOT if size1 == 0 else root2
        _require(compare_digest(root1, expected), code, "trees of this size have another root")
        _require(size2 > 0 or compare_digest(root2, EMPTY_ROOT), code, "this is no empty tree")
        _require(not proof, code, "a proof is given where there is nothing to prove")
        return
    # 1. There is something to prove.
    _require(len(proof) > 0, code, "the proof is empty")
    # 2. A first tree that is complete is itself the start of the path.
    path = [root1, *proof] if size1 & (size1 - 1) == 0 else list(proof)
    # 3. The last leaf of each tree.
    first, second = size1 - 1, size2 - 1
    # 4. Up to the highest node that ends the first tree and is complete.
    while first & 1:
        first >>= 1
        second >>= 1
    # 5. Both roots are rebuilt from it.
    so_far1 = so_far2 = path[0]
    # 6. Up the tree.
    for node in path[1:]:
        # a. A proof that is too long.
        _require(second > 0, code, "the proof is longer than the tree is high")
        # b. What stands to the left is in both trees, what stands to the right only in the second.
        if first & 1 or first == second:
            so_far1 = node_hash(node, so_far1)
            so_far2 = node_hash(node, so_far2)
            while not first & 1 and first:
                first >>= 1
                second >>= 1
        else:
            so_far2 = node_hash(so_far2, node)
        # c. One level up.
        first >>= 1
        second >>= 1
    # 7. The whole way up, and to both roots.
    _require(compare_digest(so_far1, root1), code, "the proof leads to another first root")
    _require(compare_digest(so_far2, root2), code, "the proof leads to another second root")
    _require(second == 0, code, "the proof is shorter than the tree is high")


def _split(count: int) -> int:
    """The largest power of two below `count`, which is at least 2."""
    return 1 << ((count - 1).bit_length() - 1)


def _require(holds: bool, code: str, message: str) -> None:  # noqa: FBT001 - reads as the condition it is
    if not holds:
        raise ProofError(message, code=code)


def _require_sizes(holds: bool) -> None:  # noqa: FBT001 - reads as the condition it is
    _require(holds, "range", "there is no such leaf or tree")


def _require_counts(code: str, *counts: int) -> None:
    for one in counts:
        if type(one) is not int:
            raise ProofError("an index or a size is a whole number", code=code)


def _require_hashes(code: str, *hashes: bytes) -> None:
    for one in hashes:
        if type(one) is not bytes or len(one) != HASH_BYTES:
            raise ProofError(f"a hash is {HASH_BYTES} bytes", code=code)
