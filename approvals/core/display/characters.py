"""Text as it is: what cannot be seen is drawn, what can be mistaken is named.

An agent chooses every character of a payload. Right-to-left overrides turn `exe.gpj` around, tag
and zero-width characters carry text that a model reads and a person does not, blanks of other
scripts pass for nothing, and a Cyrillic letter passes for a Latin one. Nothing is removed or
normalised, since what runs is not normalised either: `visible` draws each such code point as
`⟦U+202E⟧`, and its result tells the original exactly, because the brackets themselves are drawn so.

What cannot be seen is in `approvals.core.unseen`; mixing scripts is judged by the
"highly restrictive" level of UTS 39, section 5.2.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

from approvals.core.display import marks
from approvals.core.unseen import is_unseen, joins

_COMBINING: Final = frozenset({"Me", "Mn"})
# Two marks on a letter are Vietnamese; a tower of them reaches into the lines above and below.
MAX_COMBINING: Final = 3
_HARMLESS = re.compile(r"[ -~]*", re.ASCII)
_HARMLESS_LINES = re.compile(r"[\n -~]*", re.ASCII)

_BLANK_RUN = re.compile(r"[^\S\n]{16,}|(?:[^\S\n]*\n){5,}")
_BETWEEN_WORDS = re.compile(r"[\s!-/:-@\[-^_`{-~]+")
_LIKE_A_HOST = re.compile(r"\w[.@:/]+\w")
# Characters that are letters by category and belong to no script in particular.
_COMMON: Final = frozenset({"FEMININE", "MASCULINE", "MICRO", "MODIFIER"})
_SCRIPT_PARTS: Final = {"IDEOGRAPHIC": "CJK", "KATAKANA-HIRAGANA": "KATAKANA"}
# Writing systems that use several scripts at once.
_TOGETHER: Final = (
    frozenset({"LATIN", "CJK", "HIRAGANA", "KATAKANA"}),
    frozenset({"LATIN", "CJK", "BOPOMOFO"}),
    frozenset({"LATIN", "CJK", "HANGUL"}),
)


def visible(text: str, *, lines: bool = False, joiners: bool = False) -> str:
    """The text with every code point that cannot be seen drawn as a mark.

    With `lines`, line feeds stay line feeds. Different texts never look the same here. With
    `joiners`, those that a script needs stay as they are: for names of people only, of which no two
    in a bundle differ by nothing else.
    """
    harmless = _HARMLESS_LINES if lines else _HARMLESS
    if harmless.fullmatch(text):
        return text
    drawn: list[str] = []
    combining = MAX_COMBINING  # a mark at the very start would sit on whatever stands before it
    for at, character in enumerate(text):
        kind = _kind(character)
        if kind == "combining":
            combining += 1
            drawn.append(character if combining <= MAX_COMBINING else marks.mark(character))
        elif kind == "unseen" and not (
            (lines and character == "\n") or (joiners and joins(text, at))
        ):
            combining = MAX_COMBINING
            drawn.append(marks.mark(character))
        else:
            combining = 0
            drawn.append(character)
    return "".join(drawn)


def name(text: str) -> str:
    """A person's name as it is shown: joiners that its script needs stay as they are."""
    return visible(text, joiners=True)


def has_unseen(text: str) -> bool:
    """Whether the text holds anything, other than line feeds, that `visible` draws as a mark."""
    return visible(text, lines=True) != text


def has_blank_run(text: str) -> bool:
    """Whether a long run of blanks could push part of the text out of sight."""
    return _BLANK_RUN.search(text) is not None


def mixed_scripts(text: str) -> tuple[str, ...]:
    """The words that mix scripts as no writing system does, in the order in which they stand.

    What looks like a host or an address is one word, dots and all: Cyrillic before `.com` mixes.
    """
    if text.isascii():
        return ()
    found: dict[str, None] = {}
    for token in text.split():
        words = [token] if _LIKE_A_HOST.search(token) else _BETWEEN_WORDS.split(token)
        found.update(dict.fromkeys(word for word in words if len(scripts(word)) > 1))
    return tuple(found)


def scripts(word: str) -> tuple[str, ...]:
    """The scripts of a word's letters, sorted; one name for a set that is written together."""
    used = {script for script in map(_script, word) if script}
    if len(used) > 1 and any(used <= together for together in _TOGETHER):
        return ("+".join(sorted(used)),)
    return tuple(sorted(used))


@lru_cache(maxsize=4096)
def _kind(character: str) -> str:
    if is_unseen(character) or character in (marks.OPEN, marks.CLOSE):
        return "unseen"
    return "combining" if unicodedata.category(character) in _COMBINING else "seen"


@lru_cache(maxsize=4096)
def _script(character: str) -> str:
    """The script of a letter, from its Unicode name; empty for what is no letter."""
    if not unicodedata.category(character).startswith("L"):
        return ""
    first = unicodedata.name(character, "UNNAMED").split(" ", 1)[0]
    return "" if first in _COMMON else _SCRIPT_PARTS.get(first, first)
