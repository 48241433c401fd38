"""Where the pieces of a log are found and how its entries are packed: C2SP tlog-tiles.

A tile holds up to 256 consecutive hashes of one level of the tree, an entry bundle up to 256
entries. Each has one path, and what is behind a path never changes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from approvals.core.errors import ProofError

if TYPE_CHECKING:
    from collections.abc import Iterable

TILE_WIDTH: Final = 256
MAX_LEVEL: Final = 63
MAX_ENTRY: Final = 65_535

_ENTRIES: Final = "entries"
_LENGTH_BYTES: Final = 2
LARGEST_BUNDLE: Final = TILE_WIDTH * (_LENGTH_BYTES + MAX_ENTRY)
_PATH: Final = re.compile(
    r"tile/(?P<level>entries|0|[1-9][0-9]?)/(?P<index>(?:x[0-9]{3}/){0,6}[0-9]{3})"
    r"(?:\.p/(?P<width>[1-9][0-9]{0,2}))?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class TileName:
    """Which tile is meant: `level` is None for an entry bundle, `width` is 256 for a full one."""

    level: int | None
    index: int
    width: int = TILE_WIDTH


def tile_path(level: int, index: int, width: int | None = None) -> str:
    """Write the path of a tile of hashes; without `width`, of the full one.

    Raises:
        ProofError: code tile; there is no such tile.
    """
    if not 0 <= level <= MAX_LEVEL:
        raise ProofError(f"a tile's level is 0 to {MAX_LEVEL}", code="tile")
    return _path(str(level), index, width)


def entries_path(index: int, width: int | None = None) -> str:
    """Write the path of an entry bundle; without `width`, of the full one.

    Raises:
        ProofError: code tile; there is no such bundle.
    """
    return _path(_ENTRIES, index, width)


def parse_tile_path(path: str) -> TileName:
    """Read what `tile_path` and `entries_path` write, and nothing else.

    Raises:
        ProofError: code tile; the path is written in another way, or names nothing.
    """
    if not (match := _PATH.fullmatch(path)):
        raise ProofError("this is not the path of a tile", code="tile")
    level = None if match["level"] == _ENTRIES else int(match["level"])
    name = TileName(
        level, int(re.sub(r"[x/]", "", match["index"])), int(match["width"] or TILE_WIDTH)
    )
    # One spelling only: no index with leading groups of zeros, and no width for what is full.
    if (level or 0) > MAX_LEVEL or _path(match["level"], name.index, name.width) != path:
        raise ProofError("this is not the path of a tile", code="tile")
    return name


def entry_bundle(leaves: Iterable[bytes]) -> bytes:
    """Pack up to 256 entries, each under its length as a big-endian 16-bit number.

    Raises:
        ProofError: code bundle; an entry is too long, or there are too many.
    """
    packed = bytearray()
    for count, leaf in enumerate(leaves):
        if count == TILE_WIDTH or len(leaf) > MAX_ENTRY:
            raise ProofError(
                f"a bundle holds {TILE_WIDTH} entries of at most {MAX_ENTRY} bytes", code="bundle"
            )
        packed += len(leaf).to_bytes(_LENGTH_BYTES, "big") + leaf
    return bytes(packed)


def read_entry_bundle(raw: bytes) -> list[bytes]:
    """Unpack what `entry_bundle` packs.

    Raises:
        ProofError: code bundle; it is cut off, or holds more than 256 entries.
    """
    entries: list[bytes] = []
    position = 0
    while position < len(raw):
        start = position + _LENGTH_BYTES
        position = start + int.from_bytes(raw[position:start], "big")
        if start > len(raw) or position > len(raw) or len(entries) == TILE_WIDTH:
            raise ProofError("the entry bundle is cut off, or is too long", code="bundle")
        entries.append(raw[start:position])
    return entries


def _path(level: str, index: int, width: int | None) -> str:
    if index < 0:
        raise ProofError("a tile's index is not negative", code="tile")
    if width is not None and not 0 < width <= TILE_WIDTH:
        raise ProofError(f"a tile's width is 1 to {TILE_WIDTH}", code="tile")
    digits = str(index)
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[start : start + 3] for start in range(0, len(digits), 3)]
    name = "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
    partial = "" if width is None or width == TILE_WIDTH else f".p/{width}"
    return f"tile/{level}/{name}{partial}"
