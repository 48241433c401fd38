"""The check finds every change to a log and says where; sequencing does not go on from one."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import pytest

from approvals.core import b64
from approvals.core.errors import ProofError
from approvals.core.merkle import leaf_hash, root
from approvals.core.tlog.checkpoint import Checkpoint, sign_checkpoint
from approvals.core.tlog.leaves import StoredCheckpoint
from approvals.log import check, sequence
from approvals.log.check import CHUNK, MOST_FINDINGS
from tests.log.logs import NOW, SIGNER, SIZES, Signer, grow, memory_log, stage
from tests.log.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable


def found(store: MemoryStore, *, remembered: tuple[str, ...] = ()) -> set[tuple[str, str]]:
    report = check(store, vkeys=[SIGNER.vkey], remembered=remembered)
    assert report.ok == (not report.findings)
    everything = (*report.findings, *report.consequences)
    return {(finding.code, finding.place) for finding in everything}


def resigned(store: MemoryStore, size: int, signer: Signer = SIGNER) -> StoredCheckpoint:
    """What someone with the log's key would make of the leaves as they are now."""
    new_root = root([leaf_hash(store.rows.leaf[index].leaf) for index in range(size)])
    note = sign_checkpoint(
        Checkpoint(origin=signer.origin, size=size, root=new_root),
        name=signer.origin,
        key=signer.log_key,
    )
    return StoredCheckpoint(size, new_root, note, NOW)


def rewritten(store: MemoryStore, index: int) -> None:
    """Change a leaf and everything that is computed from it, as one with every key would."""
    changed = store.rows.leaf[index].leaf.replace(b"vote.approve", b"vote.deny")
    store.rows.edit_leaf(index, leaf=changed, hash=leaf_hash(changed))
    hashes = [leaf.hash for leaf in store.rows.leaf.values()]
    for level, node in store.rows.node:
        store.rows.node[level, node] = root(hashes[node * 256 : node * 256 + 256])
    for size in store.rows.checkpoint:
        store.rows.checkpoint[size] = resigned(store, size)


def test_a_whole_log_has_no_findings(store: MemoryStore) -> None:
    stage(store, [600, 601])
    report = check(store, vkeys=[SIGNER.vkey])
    assert report.findings == ()
    assert (report.size, report.checkpoints, report.staged, report.unopened) == (600, 5, 2, 0)
    assert report.root == store.rows.checkpoint[600].root


def test_an_empty_log_has_no_findings() -> None:
    report = check(MemoryStore(), vkeys=[SIGNER.vkey])
    assert report.ok
    assert (report.size, report.checkpoints) == (0, 0)


@pytest.mark.parametrize("index", [0, 2, 3, 255, 256, 599])
def test_an_edited_leaf_is_found_and_named(store: MemoryStore, index: int) -> None:
    leaf = store.rows.leaf[index].leaf
    store.rows.edit_leaf(index, leaf=leaf.replace(b"vote.approve", b"vote.deny"))
    findings = found(store)
    assert ("leaf_altered", f"leaf {index}") in findings
    assert ("checkpoint_root", "checkpoint 600") in findings
    unaffected = {f"checkpoint {size}" for size in SIZES if size <= index}
    assert not unaffected & {place for _, place in findings}


@pytest.mark.parametrize("index", [0, 255, 256, 599])
def test_what_follows_from_one_altered_leaf_is_counted_and_not_listed(
    store: MemoryStore, index: int
) -> None:
    leaf = store.rows.leaf[index].leaf.replace(b"vote.approve", b"vote.deny")
    store.rows.edit_leaf(index, leaf=leaf)
    report = check(store, vkeys=[SIGNER.vkey])
    listed = [(each.code, each.place) for each in report.findings]
    assert listed[0] == ("leaf_altered", f"leaf {index}")
    assert {code for code, _ in listed} <= {"leaf_altered", "opening_altered"}
    checkpoints = [f"checkpoint {size}" for size in SIZES if size > index]
    assert [
        each.place for each in report.consequences if each.code == "checkpoint_root"
    ] == checkpoints
    assert report.following == len(report.consequences) == len(checkpoints) + (index < 512)
    # With its hash edited as well, the first checkpoint that covers it is what tells.
    store.rows.edit_leaf(index, hash=leaf_hash(leaf))
    report = check(store, vkeys=[SIGNER.vkey])
    roots = [each.place for each in report.findings if each.code == "checkpoint_root"]
    assert roots == checkpoints[:1]
    assert report.following == len(checkpoints) - 1


def test_what_follows_hides_no_other_finding(store: MemoryStore) -> None:
    for index in (0, 500):
        leaf = store.rows.leaf[index].leaf.replace(b"vote.approve", b"vote.deny")
        store.rows.edit_leaf(index, leaf=leaf)
    store.rows.edit_checkpoint(263, note="")
    report = check(store, vkeys=[SIGNER.vkey])
    codes = {(each.code, each.place) for each in report.findings}
    assert {
        ("leaf_altered", "leaf 0"),
        ("leaf_altered", "leaf 500"),
        ("checkpoint_signature", "checkpoint 263"),
    } <= codes
    assert not {code for code, _ in codes} & {"checkpoint_root", "node_altered"}


@pytest.mark.parametrize("index", [0, 255, 256, 599])
def test_an_edited_leaf_with_its_hash_is_found_by_the_checkpoints(
    store: MemoryStore, index: int
) -> None:
    leaf = store.rows.leaf[index].leaf.replace(b"vote.approve", b"vote.deny")
    store.rows.edit_leaf(index, leaf=leaf, hash=leaf_hash(leaf))
    findings = found(store)
    after = {("checkpoint_root", f"checkpoint {size}") for size in SIZES if size > index}
    assert after <= findings
    assert {code for code, _ in findings} <= {"checkpoint_root", "node_altered"}


def test_a_leaf_in_other_words_is_no_event(store: MemoryStore) -> None:
    store.rows.edit_leaf(7, leaf=b'{"typ": "assent/event/1"}')
    assert {("leaf_malformed", "leaf 7"), ("leaf_altered", "leaf 7")} <= found(store)


def test_a_leaf_filed_under_another_tenant_is_found(store: MemoryStore) -> None:
    store.rows.edit_leaf(9, tenant="other")
    assert found(store) == {("leaf_tenant", "leaf 9")}


@pytest.mark.parametrize("index", [0, 256, 599])
def test_a_missing_leaf_is_found_and_named(store: MemoryStore, index: int) -> None:
    del store.rows.leaf[index]
    assert ("leaf_missing", f"leaf {index}") in found(store)


def test_leaves_beyond_a_gap_are_still_looked_at(store: MemoryStore) -> None:
    del store.rows.leaf[100], store.rows.leaf[101]
    store.rows.edit_leaf(400, tenant="other")
    findings = found(store)
    assert ("leaf_missing", "leaves 100 to 101") in findings
    assert ("leaf_tenant", "leaf 400") in findings


def opening_edits() -> dict[str, Callable[[dict[str, dict[str, object]]], object]]:
    return {
        "value": lambda opening: opening["approver"].update(value="mallory"),
        "salt": lambda opening: opening["approver"].update(salt=b64.encode(bytes(32))),
        "name": lambda opening: opening.update(witness=opening.pop("approver")),
        "member": lambda opening: opening["approver"].update(note="x"),
    }


@pytest.mark.parametrize("edit", opening_edits())
def test_an_edited_opening_is_found_and_named(store: MemoryStore, edit: str) -> None:
    opening = json.loads(store.rows.leaf[300].opening)
    opening_edits()[edit](opening)
    store.rows.edit_leaf(300, opening=json.dumps(opening))
    assert found(store) == {("opening_altered", "leaf 300")}


@pytest.mark.parametrize("text", ["", "[]", "{", '{"approver":1}', '{"a":1,"a":1}'])
def test_an_opening_that_cannot_be_read_is_found_and_named(store: MemoryStore, text: str) -> None:
    store.rows.edit_leaf(300, opening=text)
    assert found(store) == {("opening_altered", "leaf 300")}


def test_an_erased_opening_is_counted_and_is_no_fault(store: MemoryStore) -> None:
    store.rows.edit_leaf(300, opening="{}")
    report = check(store, vkeys=[SIGNER.vkey])
    assert report.ok
    assert report.unopened == 4


def test_an_edited_missing_or_extra_node_is_found_and_named(store: MemoryStore) -> None:
    store.rows.node[1, 1] = bytes(32)
    assert found(store) == {("node_altered", "tile level 1, node 1")}
    del store.rows.node[1, 1]
    assert found(store) == {("node_missing", "tile level 1, nodes 0 to 1")}


def test_a_node_beyond_the_log_is_found(store: MemoryStore) -> None:
    store.rows.node[1, 2] = bytes(32)
    assert found(store) == {("node_uncovered", "tile level 1, from node 2")}


@pytest.mark.parametrize("size", SIZES)
def test_an_edited_checkpoint_is_found_and_named(store: MemoryStore, size: int) -> None:
    store.rows.edit_checkpoint(size, root=bytes(32))
    assert found(store) == {
        ("checkpoint_altered", f"checkpoint {size}"),
        ("checkpoint_root", f"checkpoint {size}"),
    }


@pytest.mark.parametrize("size", SIZES)
def test_a_checkpoint_signed_by_another_key_is_found(store: MemoryStore, size: int) -> None:
    impostor = Signer(SIGNER.origin)
    store.rows.checkpoint[size] = resigned(store, size, impostor)
    assert found(store) == {("checkpoint_signature", f"checkpoint {size}")}


@pytest.mark.parametrize("at", [1, 30, 60, -2])
def test_any_changed_byte_of_a_note_is_found(store: MemoryStore, at: int) -> None:
    note = store.rows.checkpoint[263].note
    at %= len(note)
    changed = "A" if note[at] != "A" else "B"
    store.rows.edit_checkpoint(263, note=note[:at] + changed + note[at + 1 :])
    assert found(store) == {("checkpoint_signature", "checkpoint 263")}


def test_leaves_that_no_checkpoint_covers_are_found(store: MemoryStore) -> None:
    del store.rows.checkpoint[600]
    assert ("leaf_uncovered", "leaf 563") in found(store)


def test_leaves_cut_off_are_found(store: MemoryStore) -> None:
    for index in range(563, 600):
        del store.rows.leaf[index]
    assert found(store) == {("leaf_missing", "leaves 563 to 599")}


def cut_back(store: MemoryStore, size: int) -> None:
    """Cut the log off with all of its checkpoints, as restoring a backup does."""
    rows = store.rows
    rows.leaf = {index: leaf for index, leaf in rows.leaf.items() if index < size}
    rows.node = {place: node for place, node in rows.node.items() if place[1] < size >> 8}
    rows.checkpoint = {at: stored for at, stored in rows.checkpoint.items() if at <= size}


def test_a_restored_backup_is_found_only_by_who_remembers(store: MemoryStore) -> None:
    remembered = store.rows.checkpoint[600].note
    cut_back(store, 263)
    assert found(store) == set()
    assert found(store, remembered=(remembered,)) == {
        ("log_truncated", "remembered checkpoint 1 (of 600 leaves)")
    }


def test_a_restored_backup_that_grew_past_it_is_a_fork(store: MemoryStore) -> None:
    remembered = store.rows.checkpoint[600].note
    kept = store.rows.checkpoint[263].note
    cut_back(store, 263)
    stage(store, range(1000, 1400))
    assert sequence(store, SIGNER, now=NOW) == 400
    assert found(store) == set()
    assert found(store, remembered=(remembered, kept)) == {
        ("log_forked", "remembered checkpoint 1 (of 600 leaves)")
    }


def test_history_rewritten_with_every_key_is_found_by_who_remembers(store: MemoryStore) -> None:
    remembered = tuple(store.rows.checkpoint[size].note for size in (3, 263))
    rewritten(store, 100)
    assert found(store) == set()
    assert found(store, remembered=remembered) == {
        ("log_forked", "remembered checkpoint 2 (of 263 leaves)")
    }


def test_what_is_remembered_must_be_signed_too(store: MemoryStore) -> None:
    foreign = resigned(store, 263, Signer("other.example/log")).note
    assert found(store, remembered=(foreign, "nonsense", store.rows.checkpoint[203].note)) == {
        ("checkpoint_signature", "remembered checkpoint 1"),
        ("checkpoint_signature", "remembered checkpoint 2"),
    }


def test_a_log_in_ruins_gives_a_report_of_bounded_length(store: MemoryStore) -> None:
    for index in range(600):
        store.rows.edit_leaf(index, tenant="other")
    report = check(store, vkeys=[SIGNER.vkey])
    assert len(report.findings) == MOST_FINDINGS
    assert len(report.findings) + report.unlisted == 600


ALTERED: dict[str, Callable[[MemoryStore], object]] = {
    "a leaf's hash": lambda store: store.rows.edit_leaf(590, hash=bytes(32)),
    "a node": lambda store: store.rows.node.__setitem__((1, 0), bytes(32)),
    "the checkpoint's root": lambda store: store.rows.edit_checkpoint(600, root=bytes(32)),
    "the checkpoint's signature": lambda store: store.rows.checkpoint.__setitem__(
        600, resigned(store, 600, Signer(SIGNER.origin))
    ),
    "another checkpoint in its place": lambda store: store.rows.edit_checkpoint(
        600, note=store.rows.checkpoint[563].note
    ),
    "a leaf is gone": lambda store: store.rows.leaf.pop(599),
    "a node is gone": lambda store: store.rows.node.pop((1, 1)),
    "the checkpoint is gone": lambda store: store.rows.checkpoint.pop(600),
    "every checkpoint is gone": lambda store: store.rows.checkpoint.clear(),
}


@pytest.mark.parametrize("altered", ALTERED)
def test_sequencing_does_not_go_on_from_a_log_that_was_altered(
    store: MemoryStore, altered: str
) -> None:
    """Otherwise the service itself would sign the attacker's version of its history."""
    ALTERED[altered](store)
    stage(store, [600])
    before = dataclasses.replace(store.rows.copied())
    with pytest.raises(ProofError) as caught:
        sequence(store, SIGNER, now=NOW)
    assert caught.value.code in {"log_altered", "log_incomplete"}
    assert store.rows == before


def test_sequencing_does_not_go_on_under_another_name_or_key(store: MemoryStore) -> None:
    stage(store, [600])
    for other in (Signer(SIGNER.origin), Signer("other.example/log")):
        with pytest.raises(ProofError) as caught:
            sequence(store, other, now=NOW)
        assert caught.value.code == "log_altered"


def test_a_log_that_grows_on_stays_whole(store: MemoryStore) -> None:
    stage(store, range(600, 1100))
    assert sequence(store, SIGNER, now=NOW) == 500
    assert found(store) == set()


def test_whoever_watches_is_told_how_far_it_is() -> None:
    store = memory_log(SIGNER, [CHUNK, 1])
    told: list[tuple[int, int]] = []
    check(store, vkeys=[SIGNER.vkey], advance=lambda done, size: told.append((done, size)))
    assert told == [(CHUNK, CHUNK + 1), (CHUNK + 1, CHUNK + 1)]


def test_a_signer_can_be_changed_only_with_both_keys_known() -> None:
    """The auditor lists the keys that the log ever had; the others are strangers."""
    store = MemoryStore()
    grow(store, SIGNER, [3])
    assert check(store, vkeys=[Signer().vkey, SIGNER.vkey]).ok
    assert not check(store, vkeys=[Signer().vkey]).ok
