"""The stored tree is RFC 6962's tree, however it grew; its proofs verify; its tiles are C2SP's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from approvals.core.errors import NotFound, ProofError
from approvals.core.history.leaves import parse_leaf
from approvals.core.merkle import (
    leaf_hash,
    node_hash,
    root,
    verify_consistency,
    verify_inclusion,
)
from approvals.core.tlog.checkpoint import parse_checkpoint, read_entry_bundle
from approvals.log import checkpoint, consistency, entries, inclusion, sequence, tile
from approvals.log.tree import Frontier
from tests.log.logs import NOW, Signer, memory_log, stage
from tests.log.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from approvals.log.tables import Transaction

SIZE = 600  # two full tiles and a partial one


@pytest.fixture(scope="module")
def store() -> MemoryStore:
    return memory_log(Signer(), [1, 2, 252, 1, 1, 255, 88])


@pytest.fixture(scope="module")
def hashes(store: MemoryStore) -> list[bytes]:
    with store.read() as tx:
        return tx.log.hashes(0, SIZE)


@given(st.lists(st.integers(1, 300), min_size=1, max_size=6))
@settings(max_examples=25, deadline=None)
def test_any_split_into_batches_gives_the_tree_of_all_leaves(batches: list[int]) -> None:
    """Law: the checkpoint depends on the leaves, not on how they came. An error in taking up the
    stored edge again would show as a root that RFC 6962 does not give.
    """
    signer = Signer()
    store = memory_log(signer, batches)
    with store.read() as tx:
        hashes = tx.log.hashes(0, sum(batches))
        assert hashes == [leaf_hash(leaf.leaf) for leaf in tx.log.leaves(0, sum(batches))]
        for stored in tx.log.checkpoints():
            signed = parse_checkpoint(stored.note, vkeys=[signer.vkey])
            assert (signed.origin, signed.size) == (signer.origin, stored.size)
            assert signed.root == stored.root == root(hashes[: stored.size])


def test_a_limit_leaves_the_rest_in_line_and_in_order() -> None:
    signer, store = Signer(), MemoryStore()
    stage(store, range(10))
    assert [sequence(store, signer, now=NOW, limit=4) for _ in range(4)] == [4, 4, 2, 0]
    assert [leaf.subject for leaf in store.rows.leaf.values()] == [f"req_{n}" for n in range(10)]
    assert sorted(store.rows.checkpoint) == [4, 8, 10]


def test_without_events_nothing_is_signed() -> None:
    store = MemoryStore()
    assert sequence(store, Signer(), now=NOW) == 0
    assert store.rows.checkpoint == {}


def test_the_edge_of_a_tree_two_tile_levels_high_is_the_rfcs() -> None:
    """65,536 leaves complete a node of level 2, which few other tests reach."""
    frontier, hashes, completed = Frontier(), [], []
    for number in range(256 * 256 + 3):
        hashes.append(leaf_hash(number.to_bytes(4, "big")))
        completed += frontier.add(hashes[-1])
    assert frontier.root() == root(hashes)
    assert [node for node in completed if node[0] == 2] == [(2, 0, root(hashes[:65536]))]
    assert [index for level, index, _ in completed if level == 1] == list(range(256))
    assert completed[5] == (1, 5, root(hashes[5 * 256 : 6 * 256]))


SIZES = [1, 2, 3, 7, 8, 255, 256, 257, 511, 512, 513, SIZE]


@pytest.mark.parametrize("size", SIZES)
def test_every_leaf_is_shown_to_be_in_every_tree(
    store: MemoryStore, hashes: list[bytes], size: int
) -> None:
    expected = root(hashes[:size])
    with store.read() as tx:
        for index in range(size):
            verify_inclusion(
                leaf_hash=hashes[index],
                index=index,
                size=size,
                proof=inclusion(tx, index, size),
                root=expected,
            )


@pytest.mark.parametrize("size2", SIZES)
def test_every_tree_is_shown_to_be_the_beginning_of_every_later_one(
    store: MemoryStore, hashes: list[bytes], size2: int
) -> None:
    root2 = root(hashes[:size2])
    with store.read() as tx:
        for size1 in range(size2 + 1):
            verify_consistency(
                size1=size1,
                root1=root(hashes[:size1]),
                size2=size2,
                root2=root2,
                proof=consistency(tx, size1, size2),
            )


@pytest.mark.parametrize(
    ("index", "size"), [(-1, 5), (5, 5), (6, 5), (0, 0), (0, SIZE + 1), (0, -1), (2**70, SIZE)]
)
def test_there_is_no_inclusion_proof_for_what_is_not_there(
    store: MemoryStore, index: int, size: int
) -> None:
    with store.read() as tx, pytest.raises(NotFound):
        inclusion(tx, index, size)


@pytest.mark.parametrize(("size1", "size2"), [(-1, 5), (6, 5), (0, 0), (1, SIZE + 1), (1, 2**70)])
def test_there_is_no_consistency_proof_for_what_is_not_there(
    store: MemoryStore, size1: int, size2: int
) -> None:
    with store.read() as tx, pytest.raises(NotFound):
        consistency(tx, size1, size2)


def test_tiles_hold_the_hashes_of_their_leaves(store: MemoryStore, hashes: list[bytes]) -> None:
    with store.read() as tx:
        assert tile(tx, 0, 0) == b"".join(hashes[:256])
        assert tile(tx, 0, 1) == b"".join(hashes[256:512])
        assert tile(tx, 0, 2, SIZE - 512) == b"".join(hashes[512:])
        assert tile(tx, 0, 2, 1) == hashes[512]
        assert tile(tx, 1, 0, 2) == root(hashes[:256]) + root(hashes[256:512])
        assert tile(tx, 0, 0, 256) == tile(tx, 0, 0)


def test_the_tiles_alone_give_the_signed_root(store: MemoryStore) -> None:
    """A reader who has nothing but what is published comes to the checkpoint's root."""

    def split(raw: bytes) -> list[bytes]:
        return [raw[start : start + 32] for start in range(0, len(raw), 32)]

    with store.read() as tx:
        full, partial = split(tile(tx, 1, 0, 2)), split(tile(tx, 0, 2, SIZE - 512))
        stored = tx.log.latest_checkpoint()
    assert stored is not None
    assert node_hash(node_hash(*full), root(partial)) == stored.root


@pytest.mark.parametrize(
    ("level", "index", "width"),
    [
        (0, 2, None),
        (0, 2, SIZE - 512 + 1),
        (0, 3, 1),
        (0, 0, 0),
        (0, 0, 257),
        (0, 0, -1),
        (0, -1, 1),
        (1, 0, 3),
        (1, 0, None),
        (1, 1, 1),
        (2, 0, 1),
        (8, 0, 1),
        (10**9, 0, 1),
        (-1, 0, 1),
        (0, 2**80, 1),
    ],
)
def test_a_tile_beyond_the_checkpoint_is_not_there(
    store: MemoryStore, level: int, index: int, width: int | None
) -> None:
    with store.read() as tx, pytest.raises(NotFound):
        tile(tx, level, index, width)


def test_entry_bundles_hold_the_leaves(store: MemoryStore) -> None:
    leaves = [store.rows.leaf[index].leaf for index in range(SIZE)]
    with store.read() as tx:
        assert list(read_entry_bundle(entries(tx, 0))) == leaves[:256]
        assert list(read_entry_bundle(entries(tx, 2, 88))) == leaves[512:]
        assert list(read_entry_bundle(entries(tx, 2, 3))) == leaves[512:515]
        for index, width in [(2, None), (2, 89), (3, 1), (-1, 1), (0, 0)]:
            with pytest.raises(NotFound):
                entries(tx, index, width)


def test_the_checkpoint_is_the_last_one_and_there_is_none_before_the_first(
    store: MemoryStore,
) -> None:
    with store.read() as tx:
        assert checkpoint(tx) == store.rows.checkpoint[SIZE].note
    with MemoryStore().read() as tx:
        for ask in (checkpoint, lambda tx: tile(tx, 0, 0, 1), lambda tx: entries(tx, 0, 1)):
            with pytest.raises(NotFound):
                ask(tx)


ASKED_OF_A_LOSS: dict[str, Callable[[Transaction], object]] = {
    "inclusion beside it": lambda tx: inclusion(tx, 5, 300),
    "inclusion far from it": lambda tx: inclusion(tx, 299, 300),
    "consistency": lambda tx: consistency(tx, 200, 300),
    "tile": lambda tx: tile(tx, 0, 0),
    "entries": lambda tx: entries(tx, 0),
    "tile above": lambda tx: tile(tx, 1, 0, 1),
}


@pytest.mark.parametrize(
    ("lost", "asked"),
    [
        ("leaf", "inclusion beside it"),
        ("leaf", "consistency"),
        ("leaf", "tile"),
        ("leaf", "entries"),
        ("node", "inclusion far from it"),
        ("node", "tile above"),
    ],
)
def test_a_database_that_lost_a_row_gives_neither_proof_nor_tile(lost: str, asked: str) -> None:
    """A proof over what is left would be a wrong one, told as a right one."""
    broken = memory_log(Signer(), [300])
    if lost == "leaf":
        del broken.rows.leaf[100]
    else:
        del broken.rows.node[1, 0]
    with broken.read() as tx, pytest.raises(ProofError) as caught:
        ASKED_OF_A_LOSS[asked](tx)
    assert caught.value.code == "log_incomplete"


def test_equal_events_have_leaves_that_tell_nothing_of_it() -> None:
    """Without a fresh salt each, who approved twice could be read from the published log."""
    signer, store = Signer(), MemoryStore()
    stage(store, [7, 7])
    sequence(store, signer, now=NOW)
    first, second = (parse_leaf(store.rows.leaf[index].leaf) for index in (0, 1))
    assert first.event == second.event
    assert first.sealed["approver"] != second.sealed["approver"]
