"""Notes, checkpoints, proofs and tiles are those of C2SP, and are read in one spelling."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import assume, given
from hypothesis import strategies as st

from approvals.core.errors import ProofError
from approvals.core.merkle import MAX_SIZE
from approvals.core.tlog import checkpoint as cp
from approvals.core.tlog.checkpoint import Checkpoint

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "checkpoint.json").read_text(encoding="utf-8")
)
NAME = "assent.example/log"
KEY = Ed25519PrivateKey.from_private_bytes(b"\x01" * 32)
OTHER = Ed25519PrivateKey.from_private_bytes(b"\x02" * 32)
VKEY = cp.vkey(NAME, KEY.public_key())
STATE = Checkpoint(NAME, 42, bytes(range(32)))
NOTE = cp.sign_checkpoint(STATE, name=NAME, key=KEY)
COSIGNER = b"\x04" + bytes(32)
ROOT = b64encode(bytes(range(32))).decode()


# --- against others


@pytest.mark.parametrize(
    "vector", VECTORS["notes"], ids=[one["source"] for one in VECTORS["notes"]]
)
def test_published_notes_verify(vector: dict[str, Any]) -> None:
    assert cp.verify_note(vector["note"], vkeys=[VKEY, *vector["vkeys"]]) == vector["text"].encode()
    with pytest.raises(ProofError) as refusal:
        cp.verify_note(vector["note"].replace("a", "b", 1), vkeys=vector["vkeys"])
    assert refusal.value.code == "signature"


@pytest.mark.parametrize("vector", VECTORS["checkpoints"])
def test_published_checkpoints_are_read(vector: dict[str, Any]) -> None:
    read = cp.parse_checkpoint(vector["note"], vkeys=vector["vkeys"], origin=vector["origin"])
    assert read == Checkpoint(vector["origin"], vector["size"], b64decode(vector["root"]))
    assert vector["note"].startswith(read.body().decode())


# --- checkpoints


def test_a_checkpoint_is_read_as_it_was_signed() -> None:
    assert NOTE.startswith(f"{NAME}\n42\n{ROOT}\n\n— {NAME} ")
    assert cp.parse_checkpoint(NOTE, vkeys=[VKEY]) == STATE
    assert cp.parse_checkpoint(NOTE, vkeys=[VKEY], origin=NAME) == STATE
    assert cp.parse_checkpoint(cp.verify_note(NOTE, vkeys=[VKEY])) == STATE


@given(
    st.integers(0, MAX_SIZE),
    st.binary(min_size=32, max_size=32),
    st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1)),
)
def test_every_checkpoint_survives_signing(size: int, root: bytes, extensions: list[str]) -> None:
    state = Checkpoint(NAME, size, root, tuple(extensions))
    assert cp.parse_checkpoint(cp.sign_checkpoint(state, name=NAME, key=KEY), vkeys=[VKEY]) == state


@given(st.data())
def test_a_changed_note_is_refused(data: st.DataObject) -> None:
    """Would catch a character that neither the signature nor the one spelling covers."""
    start = data.draw(st.integers(0, len(NOTE)))
    end = data.draw(st.integers(start, min(len(NOTE), start + 3)))
    between = data.draw(st.text(st.sampled_from("A0=+/ \n—\r\t") | st.characters(), max_size=3))
    changed = NOTE[:start] + between + NOTE[end:]
    assume(changed != NOTE)
    with pytest.raises(ProofError):
        cp.parse_checkpoint(changed, vkeys=[VKEY])


def test_one_logs_key_does_not_speak_for_another_log() -> None:
    foreign = Checkpoint("other.example/log", 42, bytes(32))
    note = cp.sign_checkpoint(foreign, name=NAME, key=KEY)
    with pytest.raises(ProofError) as refusal:
        cp.parse_checkpoint(note, vkeys=[VKEY])
    assert refusal.value.code == "origin"
    with pytest.raises(ProofError):
        cp.parse_checkpoint(NOTE, vkeys=[VKEY], origin="other.example/log")
    assert cp.parse_checkpoint(note, vkeys=[VKEY], origin="other.example/log") == foreign


@pytest.mark.parametrize(
    "body",
    [
        "",
        "\n",
        f"{NAME}\n42\n",
        f"{NAME}\n42\n{ROOT}",
        f"{NAME}\n42\n{ROOT}\n\n",
        f"{NAME}\n42\n{ROOT}\n\nmore\n",
        f"\n42\n{ROOT}\n",
        f"{NAME}\n042\n{ROOT}\n",
        f"{NAME}\n+42\n{ROOT}\n",
        f"{NAME}\n-1\n{ROOT}\n",
        f"{NAME}\n4_2\n{ROOT}\n",
        f"{NAME}\n\u0664\u0662\n{ROOT}\n",
        f"{NAME}\n42 \n{ROOT}\n",
        f"{NAME}\n{2**63}\n{ROOT}\n",
        f"{NAME}\n{'9' * 5_000}\n{ROOT}\n",
        f"{NAME}\n42\n{ROOT[:-1]}\n",
        f"{NAME}\n42\n{ROOT[:-2]}9=\n",
        f"{NAME}\n42\n{b64encode(bytes(31)).decode()}\n",
        f"{NAME}\n42\n{b64encode(bytes(33)).decode()}\n",
        f"{NAME}\n42\n{ROOT}\n\x00\n",
        f"{NAME}\r\n42\r\n{ROOT}\r\n",
    ],
)
def test_other_texts_are_not_checkpoints(body: str) -> None:
    with pytest.raises(ProofError) as refusal:
        cp.parse_checkpoint(body.encode())
    assert refusal.value.code == "checkpoint"


def test_a_text_that_is_not_utf_8_is_no_checkpoint() -> None:
    with pytest.raises(ProofError) as refusal:
        cp.parse_checkpoint(b"\xff\n42\n")
    assert refusal.value.code == "checkpoint"


@pytest.mark.parametrize(
    "state",
    [
        Checkpoint("", 42, bytes(32)),
        Checkpoint("two\nlines", 42, bytes(32)),
        Checkpoint("\ud800", 42, bytes(32)),
        Checkpoint(NAME, -1, bytes(32)),
        Checkpoint(NAME, 42, bytes(31)),
        Checkpoint(NAME, 42, bytes(32), ("",)),
        Checkpoint(NAME, 42, bytes(32), ("a\nb",)),
    ],
)
def test_what_cannot_be_read_back_is_not_signed(state: Checkpoint) -> None:
    with pytest.raises(ProofError) as refusal:
        cp.sign_checkpoint(state, name=NAME, key=KEY)
    assert refusal.value.code == "checkpoint"


# --- notes


def line(name: str = NAME, key: Ed25519PrivateKey = KEY, text: str = "text\n") -> str:
    return cp.sign_note(text, name=name, key=key).rpartition("\n\n")[2]


def test_signatures_of_unknown_keys_are_passed_over() -> None:
    strangers = line("stranger.example", OTHER) + line(NAME, OTHER) + line("else.example", KEY)
    note = f"text\n\n{strangers}{line()}"
    assert cp.verify_note(note, vkeys=[VKEY]) == b"text\n"
    with pytest.raises(ProofError) as refusal:
        cp.verify_note(f"text\n\n{strangers}", vkeys=[VKEY])
    assert refusal.value.code == "signature"
    with pytest.raises(ProofError):
        cp.verify_note(note, vkeys=[])


def test_one_wrong_signature_of_a_known_key_refuses_the_note() -> None:
    other = cp.vkey("other.example", OTHER.public_key())
    wrong = line("other.example", OTHER, "another text\n")
    with pytest.raises(ProofError) as refusal:
        cp.verify_note(f"text\n\n{line()}{wrong}", vkeys=[VKEY, other])
    assert (refusal.value.code, "other.example" in refusal.value.message) == ("signature", True)


def test_sixteen_signatures_are_taken_and_a_hundred_are_not() -> None:
    many = "".join(line(f"w{count}.example", OTHER) for count in range(100))
    some = "".join(many.splitlines(keepends=True)[:15])
    assert cp.verify_note(f"text\n\n{line()}{some}", vkeys=[VKEY]) == b"text\n"
    with pytest.raises(ProofError) as refusal:
        cp.verify_note(f"text\n\n{line()}{many}", vkeys=[VKEY])
    assert refusal.value.code == "note"


def test_the_text_of_a_note_may_hold_empty_lines() -> None:
    text = "one\n\n— two AAAA\n\nthree\n"
    assert cp.verify_note(cp.sign_note(text, name=NAME, key=KEY), vkeys=[VKEY]) == text.encode()


@pytest.mark.parametrize(
    "note",
    [
        "",
        "text\n",
        "text\n\n",
        f"text\n{line()}",
        f"text\n\n{line()}"[:-1],
        f"text\n\n{line()}\n",
        f"text\n\n{line()}".replace("—", "-"),
        f"text\n\n{line()}".replace("— ", "—  "),
        f"text\n\n{line()}".replace(NAME, ""),
        f"text\n\n{line()}".replace(NAME, "a+b"),
        f"text\n\n{line()}".replace(NAME, "a\u00a0b"),
        f"text\n\n— {NAME} AAAA\n",
        f"text\n\n— {NAME} \n",
        f"text\n\n— {NAME}\n",
        f"text\n\n{line()[:-2]}\n",
        f"text\n\n{line()}".replace("=\n", "\n"),
        f"text\t\n\n{line()}",
        f"text\n\n{line()}".replace("\n", "\r\n"),
        f"te\ud800xt\n\n{line()}",
        f"{'a' * cp.MAX_NOTE}\n\n{line()}",
    ],
)
def test_other_texts_are_not_notes(note: str) -> None:
    with pytest.raises(ProofError) as refusal:
        cp.verify_note(note, vkeys=[VKEY])
    assert refusal.value.code == "note"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("no newline", NAME),
        ("tab\t\n", NAME),
        ("\ud800\n", NAME),
        ("text\n", ""),
        ("text\n", "a b"),
        ("text\n", "a+b"),
        ("text\n", "\ud800"),
    ],
)
def test_what_is_not_a_note_is_not_signed(text: str, name: str) -> None:
    with pytest.raises(ProofError) as refusal:
        cp.sign_note(text, name=name, key=KEY)
    assert refusal.value.code == "note"


@pytest.mark.parametrize(
    "key",
    [
        "",
        NAME,
        VKEY.replace(NAME, "other.example"),
        VKEY.replace("+", "+0", 1),
        VKEY.upper(),
        VKEY[:-4],
        VKEY + "AAAA",
        f"{NAME}+00000000+{b64encode(COSIGNER).decode()}",
        f"{NAME}+00000000+!",
    ],
)
def test_other_texts_are_not_keys(key: str) -> None:
    with pytest.raises(ProofError) as refusal:
        cp.verify_note(NOTE, vkeys=[key])
    assert refusal.value.code == "vkey"


# --- proofs


@given(st.integers(0, MAX_SIZE), st.lists(st.binary(min_size=32, max_size=32), max_size=64))
def test_a_proof_is_read_as_it_was_written(index: int, hashes: list[bytes]) -> None:
    text = cp.format_proof(index, hashes, NOTE)
    assert text.startswith(f"c2sp.org/tlog-proof@v1\nindex {index}\n")
    read = cp.parse_proof(text)
    assert (read.index, read.hashes, read.checkpoint) == (index, tuple(hashes), NOTE)


PROOF = cp.format_proof(3, [bytes(32), b"\x01" * 32], NOTE)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "c2sp.org/tlog-proof@v1\n",
        NOTE,
        PROOF.replace("@v1", "@v2"),
        PROOF.replace("index 3", "index 03"),
        PROOF.replace("index 3", "index -3"),
        PROOF.replace("index 3", "3"),
        PROOF.replace("index 3\n", ""),
        PROOF.replace("index 3", f"index {'9' * 30}"),
        PROOF.replace("index 3", "extra AAAA\nindex 3"),
        PROOF.replace("AAA=\n", "AA=\n", 1),
        PROOF.replace("AAA=\n", "AAB=\n", 1),
        PROOF.replace("AAA=\n", "AAA= \n", 1),
        PROOF.replace("\n", "\r\n"),
        cp.format_proof(3, [bytes(32)] * 65, NOTE),
        cp.format_proof(3, [bytes(31)], NOTE),
    ],
)
def test_other_texts_are_not_proofs(text: str) -> None:
    with pytest.raises(ProofError) as refusal:
        cp.parse_proof(text)
    assert refusal.value.code == "proof"


# --- tiles


@pytest.mark.parametrize(
    ("name", "path"),
    [
        (cp.TileName(0, 0), "tile/0/000"),
        (cp.TileName(0, 273, 112), "tile/0/273.p/112"),
        (cp.TileName(1, 1, 17), "tile/1/001.p/17"),
        (cp.TileName(2, 0, 1), "tile/2/000.p/1"),
        (cp.TileName(0, 999), "tile/0/999"),
        (cp.TileName(0, 1_000), "tile/0/x001/000"),
        (cp.TileName(63, 1_234_067), "tile/63/x001/x234/067"),
        (cp.TileName(None, 1_234_067, 3), "tile/entries/x001/x234/067.p/3"),
        (cp.TileName(None, 5), "tile/entries/005"),
    ],
)
def test_tiles_have_the_paths_of_the_specification(name: cp.TileName, path: str) -> None:
    assert cp.parse_tile_path(path) == name
    if name.level is None:
        assert cp.entries_path(name.index, name.width) == path
    else:
        assert cp.tile_path(name.level, name.index, name.width) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/0/x000/001",
        "tile/0/001/000",
        "tile/0/x001",
        "tile/0/x001/x000",
        "tile/0/000.p/0",
        "tile/0/000.p/01",
        "tile/0/000.p/256",
        "tile/0/000.p/999",
        "tile/0/000.p/",
        "tile/0/000/",
        "/tile/0/000",
        "tile/0/\u0660\u0660\u0660",
        "tile/data/000",
        "tile/0/../../etc/passwd",
        "tile/0/000\n",
        "tile/0/" + "x001/" * 7 + "000",
    ],
)
def test_other_paths_are_not_tiles(path: str) -> None:
    with pytest.raises(ProofError) as refusal:
        cp.parse_tile_path(path)
    assert refusal.value.code == "tile"


@given(st.integers(0, 10**20), st.none() | st.integers(1, 256), st.none() | st.integers(0, 63))
def test_a_path_names_one_tile(index: int, width: int | None, level: int | None) -> None:
    path = cp.entries_path(index, width) if level is None else cp.tile_path(level, index, width)
    assert cp.parse_tile_path(path) == cp.TileName(level, index, width or 256)


@pytest.mark.parametrize("tile", [(-1, 0, 1), (64, 0, 1), (0, -1, 1), (0, 0, 0), (0, 0, 257)])
def test_there_are_no_other_tiles(tile: tuple[int, int, int]) -> None:
    with pytest.raises(ProofError) as refusal:
        cp.tile_path(*tile)
    assert refusal.value.code == "tile"


@given(st.lists(st.binary(max_size=300), max_size=256))
def test_a_bundle_is_unpacked_as_it_was_packed(entries: list[bytes]) -> None:
    packed = cp.entry_bundle(entries)
    assert cp.read_entry_bundle(packed) == entries
    if packed:
        with pytest.raises(ProofError):
            cp.read_entry_bundle(packed[:-1] if entries[-1] else packed + b"\x00")


def test_lengths_are_big_endian() -> None:
    assert cp.entry_bundle([b"", b"ab", bytes(258)])[:8] == b"\x00\x00\x00\x02ab\x01\x02"


def test_a_bundle_has_bounds() -> None:
    assert cp.read_entry_bundle(cp.entry_bundle([bytes(65_535)])) == [bytes(65_535)]
    for entries in ([bytes(65_536)], [b""] * 257):
        with pytest.raises(ProofError) as refusal:
            cp.entry_bundle(entries)
        assert refusal.value.code == "bundle"
    for packed in (b"\x00", b"\x00\x01", b"\x00\x02a", b"\x00\x00" * 257):
        with pytest.raises(ProofError) as refusal:
            cp.read_entry_bundle(packed)
        assert refusal.value.code == "bundle"
