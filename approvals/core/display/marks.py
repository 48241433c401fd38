"""Marks: how a code point that cannot be seen is drawn, and how a drawing is read.

A mark is `⟦U+202E⟧`: the code point in hexadecimal, four digits at least and no more than it needs.
The brackets are never raw in a drawn text, so everything between them was written here.
"""

from __future__ import annotations

import re
from typing import Final

OPEN, CLOSE = "⟦", "⟧"
LONGEST: Final = len("⟦U+10FFFF⟧")
_MARK: Final = re.compile(r"(⟦U\+(?:10[0-9A-F]{4}|[1-9A-F][0-9A-F]{4}|[0-9A-F]{4})⟧)", re.ASCII)


def mark(character: str) -> str:
    """The mark of one code point."""
    return f"{OPEN}U+{ord(character):04X}{CLOSE}"


def split(drawn: str) -> list[str]:
    """The text in parts: what stands before a mark, the mark, what follows, and so on."""
    return _MARK.split(drawn)


def count(drawn: str) -> int:
    """How many marks stand in the text."""
    return len(_MARK.findall(drawn))


def original(drawn: str) -> str:
    """The text of which this is the drawing: marks back to the code points they stand for.

    Which code points are drawn depends on the table of the version that drew them; what they stand
    for does not, so a drawing can be checked long after.
    """
    return _MARK.sub(lambda found: chr(int(found[1][3:-1], 16)), drawn)
