"""What cannot be seen in a text, and where its lines end: the one definition of both.

A reviewer reads a bundle and an approver reads a page. What they do not see must not work: it is
refused in a bundle, and drawn as a mark on a page. What counts is in the table: Unicode's
categories and properties, and what a browser was seen to draw as nothing.

Two unseen code points shape letters of some scripts and are part of their spelling: ZERO WIDTH
JOINER and NON-JOINER. `joins` says whether one stands where a script needs it, by the contextual
rules of RFC 5892, appendix A.1 and A.2.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from approvals.core import unseen_table

if TYPE_CHECKING:
    from collections.abc import Iterator

NON_JOINER, JOINER = "\u200c", "\u200d"
_JOINERS: Final = frozenset({NON_JOINER, JOINER})
_VIRAMA: Final = 9  # canonical combining class
_PLAIN: Final = re.compile(r"(?:[\t -~]|\r?\n)*")


def _borders(listed: str) -> tuple[int, ...]:
    """Where ranges begin and end, in order: a number is in one if an odd count is not above it."""
    borders: list[int] = []
    for each in listed.split():
        first, _, last = each.partition("..")
        borders += (int(first, 16), int(last or first, 16) + 1)
    return tuple(borders)


_UNSEEN: Final = _borders(unseen_table.UNSEEN)
_NEXT: Final = _borders(unseen_table.JOINS_NEXT)
_PREVIOUS: Final = _borders(unseen_table.JOINS_PREVIOUS)


@lru_cache(maxsize=4096)
def is_unseen(character: str) -> bool:
    """Whether the character shows nothing by itself; of the blanks only U+0020 may."""
    return bisect_right(_UNSEEN, ord(character)) % 2 == 1


def joins(text: str, at: int) -> bool:
    """Whether the character at `at` is a joiner or non-joiner that its script needs there."""
    if text[at] not in _JOINERS or at == 0:
        return False
    if unicodedata.combining(text[at - 1]) == _VIRAMA:
        return True
    return (
        text[at] == NON_JOINER
        and _is_in(_NEXT, _neighbour(text, at, -1))
        and _is_in(_PREVIOUS, _neighbour(text, at, 1))
    )


def find(text: str, *, joiners: bool = False) -> str | None:
    """The first character that cannot be seen; None where everything can.

    With `joiners`, those that a script needs are let through.
    """
    if text.isascii() and text.isprintable():
        return None
    for at, character in enumerate(text):
        if is_unseen(character) and not (joiners and joins(text, at)):
            return character
    return None


def in_lines(text: str, *, joiners: bool = False) -> Iterator[tuple[int, str]]:
    """Each unseen character of a text of several lines, with the number of its line.

    Only a line feed ends a line, alone or after one carriage return. Whatever else a reader could
    take for the end of one (U+000B, U+000C, a lone U+000D, U+0085, U+2028, U+2029) is unseen. Tabs
    pass: they are how people indent.
    """
    if _PLAIN.fullmatch(text):
        return
    every = text.split("\n")
    for number, line in enumerate(every, start=1):
        # A CR at the very end of the text has no line feed after it.
        seen = line.removesuffix("\r") if number < len(every) else line
        for at, character in enumerate(seen):
            if character != "\t" and is_unseen(character) and not (joiners and joins(seen, at)):
                yield number, character


def code(character: str) -> str:
    """A character's name as Unicode writes it: `U+202E`."""
    return f"U+{ord(character):04X}"


def without_joiners(text: str) -> str:
    """The text with joiners left out: two names that differ in nothing else can look the same."""
    return text.replace(JOINER, "").replace(NON_JOINER, "")


def _neighbour(text: str, at: int, step: int) -> str | None:
    """The nearest character before or after `at` that is not transparent to joining."""
    place = at + step
    while 0 <= place < len(text):
        if unicodedata.category(text[place]) not in {"Mn", "Me"}:
            return text[place]
        place += step
    return None


def _is_in(borders: tuple[int, ...], character: str | None) -> bool:
    return character is not None and bisect_right(borders, ord(character)) % 2 == 1
