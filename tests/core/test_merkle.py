"""Proofs show what they are said to show, and nothing else."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals.core import merkle
from approvals.core.errors import ProofError

if TYPE_CHECKING:
    from collections.abc import Sequence

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "merkle.json").read_text(encoding="utf-8")
)
LEAVES = [merkle.leaf_hash(bytes.fromhex(leaf)) for leaf in VECTORS["leaves"]]
ROOTS = [bytes.fromhex(root) for root in VECTORS["roots"]]
MANY = [merkle.leaf_hash(str(index).encode()) for index in range(300)]


def by_definition(leaves: Sequence[bytes]) -> bytes:
    """Compute MTH as RFC 6962 section 2.1 defines it, over leaf hashes."""
    if len(leaves) < 2:
        return leaves[0] if leaves else sha256(b"").digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    left, right = by_definition(leaves[:split]), by_definition(leaves[split:])
    return sha256(b"\x01" + left + right).digest()


def root_of(start: int, end: int) -> bytes:
    return by_definition(MANY[start:end])


def hexed(hashes: Sequence[bytes]) -> list[str]:
    return [one.hex() for one in hashes]


# --- against the standard


@pytest.mark.parametrize("size", range(9))
def test_published_roots(size: int) -> None:
    assert merkle.root(LEAVES[:size]) == ROOTS[size]


@pytest.mark.parametrize("vector", VECTORS["inclusion"])
def test_published_inclusion_proofs(vector: dict[str, Any]) -> None:
    index, size, proof = vector["index"], vector["size"], vector["proof"]
    made = merkle.inclusion_proof(index, size, lambda start, end: merkle.root(LEAVES[start:end]))
    assert hexed(made) == proof
    merkle.verify_inclusion(
        leaf_hash=LEAVES[index], index=index, size=size, proof=made, root=ROOTS[size]
    )


@pytest.mark.parametrize("vector", VECTORS["consistency"])
def test_published_consistency_proofs(vector: dict[str, Any]) -> None:
    size1, size2, proof = vector["size1"], vector["size2"], vector["proof"]
    made = merkle.consistency_proof(size1, size2, lambda start, end: merkle.root(LEAVES[start:end]))
    assert hexed(made) == proof
    merkle.verify_consistency(
        size1=size1, root1=ROOTS[size1], size2=size2, root2=ROOTS[size2], proof=made
    )


@given(st.integers(0, 300))
def test_the_root_is_that_of_the_definition(size: int) -> None:
    assert merkle.root(MANY[:size]) == by_definition(MANY[:size])


# --- every proof, and every change of one


@pytest.mark.parametrize("size", [*range(1, 18), 31, 32, 33, 300])
def test_every_leaf_can_be_shown_and_in_its_place_only(size: int) -> None:
    root = root_of(0, size)
    for index in range(size):
        proof = merkle.inclusion_proof(index, size, root_of)
        shown: dict[str, Any] = {
            "leaf_hash": MANY[index],
            "size": size,
            "proof": proof,
            "root": root,
        }
        merkle.verify_inclusion(index=index, **shown)
        for other in {index - 1, index + 1, index ^ 1, size, -1} - {index}:
            with pytest.raises(ProofError):
                merkle.verify_inclusion(index=other, **shown)


@pytest.mark.parametrize("size2", [*range(1, 18), 31, 32, 33, 300])
def test_every_tree_is_shown_to_begin_the_larger_one(size2: int) -> None:
    for size1 in range(size2 + 1):
        merkle.verify_consistency(
            size1=size1,
            root1=root_of(0, size1),
            size2=size2,
            root2=root_of(0, size2),
            proof=merkle.consistency_proof(size1, size2, root_of),
        )


def changes(proof: list[bytes]) -> list[list[bytes]]:
    stranger = sha256(b"stranger").digest()
    made = [[*proof, stranger], [stranger, *proof], [*proof, *proof[-1:], *proof[-1:]], proof[::-1]]
    for place in range(len(proof)):
        flipped = bytes([proof[place][0] ^ 1]) + proof[place][1:]
        made += [
            [*proof[:place], flipped, *proof[place + 1 :]],
            [*proof[:place], stranger, *proof[place + 1 :]],
            [*proof[:place], *proof[place + 1 :]],
        ]
    return [one for one in made if one != proof]


@given(st.data())
def test_a_changed_inclusion_proof_is_refused(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 70))
    index = data.draw(st.integers(0, size - 1))
    for proof in changes(merkle.inclusion_proof(index, size, root_of)):
        with pytest.raises(ProofError) as refusal:
            merkle.verify_inclusion(
                leaf_hash=MANY[index], index=index, size=size, proof=proof, root=root_of(0, size)
            )
        assert refusal.value.code == "inclusion"


@given(st.data())
def test_a_changed_consistency_proof_is_refused(data: st.DataObject) -> None:
    size2 = data.draw(st.integers(1, 70))
    size1 = data.draw(st.integers(0, size2))
    for proof in changes(merkle.consistency_proof(size1, size2, root_of)):
        with pytest.raises(ProofError) as refusal:
            merkle.verify_consistency(
                size1=size1,
                root1=root_of(0, size1),
                size2=size2,
                root2=root_of(0, size2),
                proof=proof,
            )
        assert refusal.value.code == "consistency"


@given(st.data())
def test_a_log_that_was_changed_before_is_not_consistent(data: st.DataObject) -> None:
    """Would catch a log that takes out, changes or reorders what it had already shown."""
    size2 = data.draw(st.integers(2, 70))
    size1 = data.draw(st.integers(1, size2 - 1))
    changed = data.draw(st.integers(0, size1 - 1))
    forked = [*MANY[:changed], merkle.leaf_hash(b"forked"), *MANY[changed + 1 : size2]]

    def forked_root(start: int, end: int) -> bytes:
        return by_definition(forked[start:end])

    with pytest.raises(ProofError):
        merkle.verify_consistency(
            size1=size1,
            root1=root_of(0, size1),
            size2=size2,
            root2=forked_root(0, size2),
            proof=merkle.consistency_proof(size1, size2, forked_root),
        )


def test_a_node_cannot_be_shown_as_a_leaf() -> None:
    inner = merkle.node_hash(LEAVES[0], LEAVES[1])
    entry = LEAVES[0] + LEAVES[1]
    assert merkle.leaf_hash(entry) != inner
    with pytest.raises(ProofError):
        merkle.verify_inclusion(
            leaf_hash=merkle.leaf_hash(entry), index=0, size=1, proof=[], root=ROOTS[2]
        )


# --- arguments


INCLUSION: dict[str, Any] = {
    "leaf_hash": LEAVES[5],
    "index": 5,
    "size": 8,
    "proof": [bytes.fromhex(one) for one in VECTORS["inclusion"][2]["proof"]],
    "root": ROOTS[8],
}
CONSISTENCY: dict[str, Any] = {
    "size1": 6,
    "root1": ROOTS[6],
    "size2": 8,
    "root2": ROOTS[8],
    "proof": [bytes.fromhex(one) for one in VECTORS["consistency"][2]["proof"]],
}


@pytest.mark.parametrize(
    "change",
    [
        {"index": 8},
        {"index": -1},
        {"index": 5.0},
        {"index": True},
        {"index": "5"},
        {"size": 0},
        {"size": 5},
        {"size": -8},
        {"size": 2**64},
        {"size": None},
        {"leaf_hash": ROOTS[8]},
        {"leaf_hash": b""},
        {"leaf_hash": LEAVES[5].hex()},
        {"root": ROOTS[7]},
        {"root": ROOTS[8][:-1]},
        {"root": bytearray(ROOTS[8])},
        {"proof": []},
        {"proof": [b"", b"", b""]},
        {"proof": [one.hex() for one in INCLUSION["proof"]]},
    ],
)
def test_inclusion_of_other_things_is_refused(change: dict[str, Any]) -> None:
    merkle.verify_inclusion(**INCLUSION)
    with pytest.raises(ProofError) as refusal:
        merkle.verify_inclusion(**{**INCLUSION, **change})
    assert refusal.value.code == "inclusion"


@pytest.mark.parametrize(
    "change",
    [
        {"size1": 9},
        {"size1": -1},
        {"size1": 7},
        {"size1": 6.0},
        {"size2": 5},
        {"size2": 2**64},
        {"size2": 8.0},
        {"root1": ROOTS[5]},
        {"root1": b""},
        {"root1": ROOTS[6].hex()},
        {"root2": ROOTS[7]},
        {"root2": None},
        {"proof": []},
        {"proof": [one.hex() for one in CONSISTENCY["proof"]]},
        {"size1": 8},
        {"size1": 8, "proof": []},
        {"size1": 8, "root1": ROOTS[8]},
        {"size1": 0},
        {"size1": 0, "root1": merkle.EMPTY_ROOT},
        {"size1": 0, "proof": []},
        {"size1": 0, "size2": 0, "root1": merkle.EMPTY_ROOT, "proof": []},
        {"size1": 0, "size2": 0, "root1": ROOTS[8], "root2": ROOTS[8], "proof": []},
    ],
)
def test_consistency_of_other_things_is_refused(change: dict[str, Any]) -> None:
    merkle.verify_consistency(**CONSISTENCY)
    with pytest.raises(ProofError) as refusal:
        merkle.verify_consistency(**{**CONSISTENCY, **change})
    assert refusal.value.code == "consistency"


@pytest.mark.parametrize("sizes", [(0, 0), (3, 3), (-1, 3), (0, 2**64)])
def test_there_is_no_inclusion_proof_for_other_leaves(sizes: tuple[int, int]) -> None:
    with pytest.raises(ProofError) as refusal:
        merkle.inclusion_proof(*sizes, root_of)
    assert refusal.value.code == "range"


@pytest.mark.parametrize("sizes", [(4, 3), (-1, 3), (0, 2**64)])
def test_there_is_no_consistency_proof_for_other_trees(sizes: tuple[int, int]) -> None:
    with pytest.raises(ProofError) as refusal:
        merkle.consistency_proof(*sizes, root_of)
    assert refusal.value.code == "range"


def test_the_largest_tree_has_proofs_too() -> None:
    """A leaf beside a stand-in for everything else: nobody has that many leaves."""
    size, rest = merkle.MAX_SIZE, LEAVES[0]
    proof = merkle.inclusion_proof(size - 1, size, lambda _start, _end: rest)
    root = LEAVES[1]
    for sibling in proof:
        root = merkle.node_hash(sibling, root)
    merkle.verify_inclusion(leaf_hash=LEAVES[1], index=size - 1, size=size, proof=proof, root=root)
    assert merkle.consistency_proof(size, size, lambda _start, _end: rest) == []
    merkle.verify_consistency(size1=size, root1=root, size2=size, root2=root, proof=[])


def test_a_proof_longer_than_the_tree_is_high_is_refused_wherever_it_leads() -> None:
    """Would catch a log that passes its tree off as one of another size."""
    more = sha256(b"more").digest()
    root = merkle.node_hash(more, INCLUSION["root"])
    with pytest.raises(ProofError):
        merkle.verify_inclusion(**{**INCLUSION, "root": root, "proof": [*INCLUSION["proof"], more]})
    above = {name: merkle.node_hash(more, CONSISTENCY[name]) for name in ("root1", "root2")}
    with pytest.raises(ProofError):
        merkle.verify_consistency(
            **{**CONSISTENCY, **above, "proof": [*CONSISTENCY["proof"], more]}
        )
