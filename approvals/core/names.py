"""Names that programs compare and people read: what they are written with, and which look alike.

An id (of a person, group, agent, enforcer, risk group, hook or rule) and the name of a tool are
written in ASCII, so a letter of another script cannot pass for a Latin one in them. The name that a
person is shown by may be of any script.

Two names look alike if they differ only in what a reader does not see or takes for the same: case,
a compatibility form (NFKC), a joiner, how many blanks stand together, a Greek or Cyrillic letter
drawn as a Latin one, or one of `1 l I`, `0 O`, `rn m`, and any of these together. `I` and `L` stay
apart, or Ian would be Lan. Letters are paired as in the confusables of UTS 39, section 4.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

from approvals.core import unseen

MAX_ID: Final = 100
MAX_TOOL: Final = 200
ID_LETTERS: Final = "letters, digits and . _ @ + - of ASCII, beginning with a letter or digit"
TOOL_LETTERS: Final = (
    "letters, digits and . _ @ + - / : of ASCII, beginning with a letter, digit or _"
)

# `|`, `:` and `;` separate ids in annotations, and `,` tools in a setting, so none is in a name.
_ID: Final = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._@+-]{{0,{MAX_ID - 1}}}", re.ASCII)
TOOL_PATTERN: Final = rf"[A-Za-z0-9_][A-Za-z0-9._@+/:-]{{0,{MAX_TOOL - 1}}}"
_TOOL: Final = re.compile(TOOL_PATTERN, re.ASCII)

_LATIN: Final = str.maketrans(
    "ͿΑΒΕΖΗΙΚΜΝΟΡΤΥΧαγινορσυϒϜϱϲϳϹϺЅІЈАВЕКМНОРСТУХЬагеорсухѕіјѡѴѵҮүһҽӀӏԁԌԛԜԝ",  # noqa: RUF001 - letters that look like those below
    "JABEZHlKMNOPTYXayivopouYFpcjCMSlJABEKMHOPCTYXbareopcyxsijwVvYyhelidGqWw",
)
_SHORTEST: Final = 5
_STROKES: Final = str.maketrans("1I", "ll")
_SMALL: Final = str.maketrans({"1": "l", "0": "o", "m": "rn"})


def is_id(name: str) -> bool:
    """Whether this can be an id in a bundle or a floor."""
    return _ID.fullmatch(name) is not None


def is_tool(name: str) -> bool:
    """Whether this can be the name of a tool."""
    return _TOOL.fullmatch(name) is not None


@lru_cache(maxsize=4096)
def looks(name: str) -> tuple[str, ...]:
    """What a name looks like in each of four ways, in time linear in its length.

    Without regard to case; the same in Latin letters; as these are drawn; and as drawn where a
    capital I is drawn as a small L. Two names can be taken for each other if one of the four is
    equal.
    """
    seen = unseen.without_joiners(name)
    # Twice, since a compatibility form can hide a look (U+03F2) and can bring one (U+1D6D3).
    latin = _one_blank(unicodedata.normalize("NFKC", seen.translate(_LATIN)).translate(_LATIN))
    # By itself too, since a capital can be drawn as another Latin letter than its small one.
    case = _one_blank(unicodedata.normalize("NFKC", seen).casefold())
    # A capital L looks like nothing else, so it keeps its case: "Ian" is not "Lan".
    strokes = "L".join(part.casefold() for part in latin.translate(_STROKES).split("L"))
    folded = latin.casefold()
    return case, folded, folded.translate(_SMALL), strokes.translate(_SMALL)


def _one_blank(text: str) -> str:
    """The text with one blank wherever blanks of any kind stand, as a page draws it."""
    return " ".join(text.split())


def is_near(one: str, other: str) -> bool:
    """Whether one of two different names may be a misspelling of the other.

    They are alike, or one letter was left out, added, exchanged or swapped with its neighbour,
    without regard to case. Names below five letters, and two that differ in a digit, are not near.
    """
    return one != other and (
        are_alike(one, other) or _is_one_edit(one.casefold(), other.casefold())
    )


def _is_one_edit(one: str, other: str) -> bool:
    short, long = sorted((one, other), key=len)
    if len(short) < _SHORTEST or len(long) - len(short) > 1:
        return False
    at = next(
        (at for at, (a, b) in enumerate(zip(short, long, strict=False)) if a != b), len(short)
    )
    if len(short) < len(long):
        return not long[at].isdigit() and short[at:] == long[at + 1 :]
    if at == len(short):
        return True  # they differ in case alone
    exchanged = not (short[at].isdigit() and long[at].isdigit())
    swapped = short[at : at + 2] == long[at : at + 2][::-1]
    return (exchanged and short[at + 1 :] == long[at + 1 :]) or (
        swapped and short[at + 2 :] == long[at + 2 :]
    )


def are_alike(one: str, other: str) -> bool:
    """Whether a reader can take one of two different names for the other."""
    return one != other and any(a == b for a, b in zip(looks(one), looks(other), strict=True))
