"""What a log signs, and how it is shown to someone who trusts only the log's key.

Three formats of C2SP, each text: the signed note with Ed25519, the checkpoint (origin, size and
root of the tree) as the text of such a note, and the proof that an entry is in the tree of a
checkpoint. Reading is strict: one spelling, no control characters, and a signature of a known key
that does not verify refuses the whole note, even if another one verifies.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidSignature

from approvals.core.errors import ProofError
from approvals.core.merkle import HASH_BYTES, MAX_SIZE
from approvals.core.public_key import ed25519_key
from approvals.core.tlog.tiles import (
    TileName,
    entries_path,
    entry_bundle,
    parse_tile_path,
    read_entry_bundle,
    tile_path,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

__all__ = [
    "Checkpoint",
    "LogProof",
    "TileName",
    "entries_path",
    "entry_bundle",
    "format_proof",
    "parse_checkpoint",
    "parse_proof",
    "parse_tile_path",
    "read_entry_bundle",
    "sign_checkpoint",
    "sign_note",
    "tile_path",
    "verify_note",
    "vkey",
]

MAX_NOTE: Final = 131_072
MAX_SIGNATURES: Final = 64

_ED25519: Final = b"\x01"
_KEY_ID_BYTES: Final = 4
_PUBLIC_BYTES: Final = 32
_PROOF_HEADER: Final = "c2sp.org/tlog-proof@v1"
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f]")
_NAME: Final = re.compile(r"[^\s+]+")
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a log: its name, how many leaves it has, and the root over them."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def body(self) -> bytes:
        """Write the text that is signed.

        Raises:
            ProofError: code checkpoint; it cannot be told as a checkpoint.
        """
        lines = [self.origin, str(self.size), b64encode(self.root).decode("ascii")]
        text = "".join(f"{line}\n" for line in (*lines, *self.extensions))
        if _read_body(text) != self:
            raise ProofError("this cannot be written as a checkpoint", code="checkpoint")
        return _utf8(text, "checkpoint")


@dataclass(frozen=True, slots=True)
class LogProof:
    """An inclusion proof and the checkpoint, still unverified, that it leads to."""

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: str


@dataclass(frozen=True, slots=True)
class _NoteSignature:
    name: str
    key_id: bytes
    signature: bytes


def vkey(name: str, public_key: Ed25519PublicKey) -> str:
    """Write a log's public key with its name, as those who verify are given it."""
    raw = public_key.public_bytes_raw()
    key = b64encode(_ED25519 + raw).decode("ascii")
    return f"{name}+{_key_id(name, raw).hex()}+{key}"


def sign_note(text: str, *, name: str, key: Ed25519PrivateKey) -> str:
    """Sign a text, which ends in a newline, under the name of a key.

    Raises:
        ProofError: code note; the text or the name cannot be in a note.
    """
    public = key.public_key().public_bytes_raw()
    signature = _key_id(name, public) + key.sign(_utf8(text, "note"))
    note = f"{text}\n— {name} {b64encode(signature).decode('ascii')}\n"
    _read_note(note)
    return note


def sign_checkpoint(checkpoint: Checkpoint, *, name: str, key: Ed25519PrivateKey) -> str:
    """Sign the state of a log; `name` is the key's, by custom the same as the origin."""
    return sign_note(checkpoint.body().decode("utf-8"), name=name, key=key)


def verify_note(note: str, *, vkeys: Sequence[str]) -> bytes:
    """The text of a note that a known key signed.

    Signatures of other keys are passed over, so that witnesses can add theirs.

    Raises:
        ProofError: code note (the form), vkey (a key that was given), signature (none or a wrong
        one).
    """
    text, _ = _verify_note(note, vkeys)
    return text.encode("utf-8")


def parse_checkpoint(
    note: str | bytes, *, vkeys: Sequence[str] = (), origin: str | None = None
) -> Checkpoint:
    """Read a signed checkpoint, or, from bytes, the text that `verify_note` returned.

    A signed checkpoint must be of the log `origin`; without it, of the log that a verified
    signature's key is named after, so that one log's key cannot speak for another log.

    Raises:
        ProofError: as `verify_note`, and code checkpoint or origin.
    """
    if isinstance(note, bytes):
        try:
            return _read_body(note.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise ProofError("a checkpoint is UTF-8", code="checkpoint") from error
    text, names = _verify_note(note, vkeys)
    checkpoint = _read_body(text)
    if checkpoint.origin not in (names if origin is None else {origin}):
        raise ProofError("the checkpoint is of another log", code="origin")
    return checkpoint


def format_proof(index: int, hashes: Sequence[bytes], checkpoint_note: str) -> str:
    """Write an inclusion proof with its checkpoint as one text (C2SP tlog-proof)."""
    lines = [_PROOF_HEADER, f"index {index}"]
    lines += [b64encode(one).decode("ascii") for one in hashes]
    return "".join(f"{line}\n" for line in lines) + "\n" + checkpoint_note


def parse_proof(text: str) -> LogProof:
    """Read an inclusion proof; nothing in it is verified yet. Extra data is not taken.

    Raises:
        ProofError: code proof; it is written in another way.
    """
    head, blank, note = text.partition("\n\n")
    header, index, *hashes = [*head.split("\n"), ""] if blank else ["", ""]
    number = index.removeprefix("index ")
    if header != _PROOF_HEADER or number == index or not _NUMBER.fullmatch(number):
        raise ProofError("this is not a proof of inclusion in a log", code="proof")
    proof = tuple(_decode(one, "proof") for one in hashes[:-1])
    if any(len(one) != HASH_BYTES for one in proof) or len(proof) > MAX_SIGNATURES:
        raise ProofError(f"a proof is at most 64 hashes of {HASH_BYTES} bytes", code="proof")
    return LogProof(int(number), proof, note)


def _read_body(text: str) -> Checkpoint:
    lines = text.split("\n")
    # Three lines or more, none of them empty, and the last one ended.
    if len(lines) < 4 or lines.pop() or not all(lines) or _CONTROL.search(text):  # noqa: PLR2004 - above
        raise ProofError("a checkpoint is an origin, a size and a root", code="checkpoint")
    origin, size, root, *extensions = lines
    if not _NUMBER.fullmatch(size) or int(size) > MAX_SIZE:
        raise ProofError("the size of the tree is not a plain number", code="checkpoint")
    raw = _decode(root, "checkpoint")
    if len(raw) != HASH_BYTES:
        raise ProofError(f"the root of the tree is not {HASH_BYTES} bytes", code="checkpoint")
    return Checkpoint(origin, int(size), raw, tuple(extensions))


def _verify_note(note: str, vkeys: Sequence[str]) -> tuple[str, set[str]]:
    """The text and the names of the keys whose signatures verified: at least one."""
    text, signatures = _read_note(note)
    known = dict(read_vkey(key) for key in vkeys)
    names: set[str] = set()
    for found in signatures:
        key = known.get((found.name, found.key_id))
        if key is None:
            continue
        try:
            key.verify(found.signature, text.encode("utf-8"))
        except InvalidSignature as error:
            raise ProofError(
                f"the signature of {found.name} does not verify", code="signature"
            ) from error
        names.add(found.name)
    if not names:
        raise ProofError("no known key signed this note", code="signature")
    return text, names


def _read_note(note: str) -> tuple[str, list[_NoteSignature]]:
    if len(note) > MAX_NOTE or _CONTROL.search(note):
        raise ProofError("the note is too long, or holds control characters", code="note")
    # The text may hold empty lines: the last one divides.
    body, blank, tail = note.rpartition("\n\n")
    lines = tail.split("\n")
    if not blank or lines.pop() or not 0 < len(lines) <= MAX_SIGNATURES:
        raise ProofError("a note is a text, an empty line and signatures", code="note")
    _utf8(note, "note")
    return body + "\n", [_read_signature(line) for line in lines]


def _read_signature(line: str) -> _NoteSignature:
    match line.split(" "):
        case ["—", name, signature] if _NAME.fullmatch(name):
            raw = _decode(signature, "note")
            if len(raw) > _KEY_ID_BYTES:
                return _NoteSignature(name, raw[:_KEY_ID_BYTES], raw[_KEY_ID_BYTES:])
        case _:
            pass
    raise ProofError("a signature line is a dash, a name and base64", code="note")


def read_vkey(text: str) -> tuple[tuple[str, bytes], Ed25519PublicKey]:
    """A verifier key as ((name, key id), public key).

    Raises:
        ProofError: code vkey: this is not one.
    """
    match text.split("+", 2):
        case [name, key_id, encoded] if _NAME.fullmatch(name):
            raw = _decode(encoded, "vkey")
            public = raw[1:]
            if raw[:1] == _ED25519 and len(public) == _PUBLIC_BYTES:
                expected = _key_id(name, public)
                if key_id == expected.hex():
                    return (name, expected), _public_key(public)
        case _:
            pass
    raise ProofError("a log's key is name+id+key, for Ed25519", code="vkey")


def _public_key(raw: bytes) -> Ed25519PublicKey:
    try:
        return ed25519_key(raw)
    except ValueError as error:
        raise ProofError(str(error), code="vkey") from error


def _key_id(name: str, public: bytes) -> bytes:
    return sha256(_utf8(name, "note") + b"\n" + _ED25519 + public).digest()[:_KEY_ID_BYTES]


def _utf8(text: str, code: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ProofError("half of a surrogate pair is not text", code=code) from error


def _decode(text: str, code: str) -> bytes:
    """Read standard base64 in its one canonical spelling."""
    try:
        raw = binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
    except ValueError as error:
        raise ProofError("this is not base64", code=code) from error
    if b64encode(raw).decode("ascii") != text:
        raise ProofError("this is not canonical base64", code=code)
    return raw
