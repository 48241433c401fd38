"""Writes approvals/core/unseen_table.py from Unicode data and from what a browser drew as nothing.

    python -m tests.core.make_unseen_table

Unicode's categories come from this Python (`unicodedata`); which code points are default ignorable
and which Chromium drew as nothing or blank from drawn_as_nothing.json (tests.core.measure_unseen);
joining types (for ZERO WIDTH NON-JOINER) from the package `idna`, which has them from Unicode's
ArabicShaping.txt.
"""

from __future__ import annotations

import json
import textwrap
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import idna.idnadata

from tests.core.measure_unseen import FILE, ranges

if TYPE_CHECKING:
    from collections.abc import Iterable

TABLE = Path(__file__).parents[2] / "approvals" / "core" / "unseen_table.py"
# Control, format, unassigned, private use, surrogate; line, paragraph and space separator.
CATEGORIES = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs"})


def members(listed: Iterable[str]) -> set[int]:
    """The code points of ranges as they are written."""
    found: set[int] = set()
    for each in listed:
        first, _, last = each.partition("..")
        found.update(range(int(first, 16), int(last or first, 16) + 1))
    return found


def measured(data: dict[str, Any]) -> set[int]:
    """What the browser drew as nothing or blank, with whichever fonts.

    A combining mark that stands alone may be drawn beside its place: only what it does to the
    letters around it counts.
    """
    found: set[int] = set()
    for run in data["measured"].values():
        found |= members(run["nothing"])
        found |= {
            code_point
            for code_point in members(run["blank"])
            if not unicodedata.category(chr(code_point)).startswith("M")
        }
    return found


def unseen(data: dict[str, Any]) -> set[int]:
    """Everything that cannot be seen; U+0020 is a blank that everybody expects."""
    by_category = {
        code_point
        for code_point in range(0x110000)
        if unicodedata.category(chr(code_point)) in CATEGORIES
    }
    return (by_category | members(data["default_ignorable"]) | measured(data)) - {0x20}


def joining(kinds: str) -> set[int]:
    """The code points that join as one of these types."""
    return {
        code_point
        for kind in kinds
        for pair in idna.idnadata.joining_types[kind]
        for code_point in range(pair >> 32, pair & 0xFFFFFFFF)
    }


def listed(code_points: set[int]) -> str:
    """Ranges in lines of the width that the project has."""
    return textwrap.fill(" ".join(ranges(code_points)), 100, break_on_hyphens=False)


def module(data: dict[str, Any]) -> str:
    """The text of the table's module."""
    browsers = sorted({run["browser"] for run in data["measured"].values()})
    return f'''"""Code points that cannot be seen, and how letters join.

Made by tests.core.make_unseen_table: change that, not this.

`UNSEEN` has Unicode's control, format, private-use, surrogate and unassigned code points, all
separators but U+0020, what is default ignorable, and what {browsers[0]} drew as nothing
or blank. It is data and not asked of the running Python, so that a text is drawn alike and
a bundle is judged alike on all of them. `JOINS_NEXT` and `JOINS_PREVIOUS` are the letters that join
what follows or precedes them (Joining_Type D and L, D and R).
"""

UNICODE = "{unicodedata.unidata_version}"

UNSEEN = """
{listed(unseen(data))}
"""

JOINS_NEXT = """
{listed(joining("DL"))}
"""

JOINS_PREVIOUS = """
{listed(joining("DR"))}
"""
'''


if __name__ == "__main__":
    TABLE.write_text(module(json.loads(FILE.read_text("utf-8"))), "utf-8")
