"""Proofs from the stored tree (RFC 6962 section 2.1), a few database rows each.

Proofs are made only for sizes up to the last checkpoint: about a tree that nobody signed there is
nothing to prove.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from approvals.core import merkle
from approvals.core.errors import NotFound
from approvals.log.tree import StoredTree

if TYPE_CHECKING:
    from approvals.log.tables import Transaction


def inclusion(tx: Transaction, index: int, size: int) -> list[bytes]:
    """Prove that leaf `index` is in the tree of the first `size` leaves.

    Raises:
        NotFound: there is no such leaf or no such tree.
        ProofError: the stored log has gaps.
    """
    _check_published(tx, size)
    if not 0 <= index < size:
        raise NotFound(f"there is no leaf {index} in a tree of {size}")
    return list(merkle.inclusion_proof(index, size, StoredTree(tx.log, size).hash_of))


def consistency(tx: Transaction, size1: int, size2: int) -> list[bytes]:
    """Prove that the tree of `size1` leaves is the beginning of the tree of `size2`.

    Raises:
        NotFound: there are no such trees.
        ProofError: the stored log has gaps.
    """
    _check_published(tx, size2)
    if not 0 <= size1 <= size2:
        raise NotFound(f"there is no tree of {size1} leaves in a tree of {size2}")
    if size1 in {0, size2}:
        return []  # nothing to show: everything begins with nothing, and with itself
    return list(merkle.consistency_proof(size1, size2, StoredTree(tx.log, size2).hash_of))


def _check_published(tx: Transaction, size: int) -> None:
    last = tx.log.latest_checkpoint()
    if last is None or not 0 < size <= last.size:
        raise NotFound(f"the log has not reached {size} leaves")
