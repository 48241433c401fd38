"""The log as it is kept: values that the store's rows and the log's procedures agree on.

Leaves and nodes are RFC 6962 hashes; a checkpoint's note is C2SP signed-note text. What must stay
byte for byte is kept as the bytes or the text that was hashed or signed.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Staged:
    """An event that waits for its place in the log."""

    id: int
    tenant: str
    subject: str
    leaf: bytes
    opening: str


@dataclass(frozen=True, slots=True)
class Leaf:
    """A leaf in its place. `opening` is the JSON of what opens its commitments."""

    index: int
    tenant: str
    subject: str
    leaf: bytes
    hash: bytes
    opening: str


@dataclass(frozen=True, slots=True)
class Filed:
    """A leaf in its place, and whose row it says to be; without what opens it."""

    index: int
    tenant: str
    subject: str
    leaf: bytes


@dataclass(frozen=True, slots=True)
class StoredCheckpoint:
    """A signed checkpoint: `note` is the signed text."""

    size: int
    root: bytes
    note: str
    created: int
