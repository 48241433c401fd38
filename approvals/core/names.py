"""Names that programs compare and people read: what they are written with, and which look alike.

An id (of a person, group, agent, enforcer, risk group, hook or rule) and the name of a tool are
written in ASCII, so a letter of another script cannot pass for a Latin one in them. The name that a
person is shown by may be of any script.

Two names look alike if they differ only in what a reader does not see or takes for the same: case,
a compatibility form (NFKC), a joiner, a Greek or Cyrillic letter drawn as a Latin one, or one of
`1 l I`, `0 O`, `rn m`. Letters are paired as in the confusables of UTS 39, section 4.
"""

from __future__ import annotations

import re
import unicodedata
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
_TOOL: Final = re.compile(rf"[A-Za-z0-9_][A-Za-z0-9._@+/:-]{{0,{MAX_TOOL - 1}}}", re.ASCII)

_LATIN: Final = str.maketrans(
    "ͿΑΒΕΖΗΙΚΜΝΟΡΤΥΧαγινορσυϒϜϱϲϳϹϺЅІЈАВЕКМНОРСТУХЬагеорсухѕіјѡѴѵҮүһҽӀӏԁԌԛԜԝ",  # noqa: RUF001 - letters that look like those below
    "JABEZHlKMNOPTYXayivopouYFpcjCMSlJABEKMHOPCTYXbareopcyxsijwVvYyhelidGqWw",
)
_DRAWN_ALIKE: Final = str.maketrans({"1": "l", "I": "l", "0": "O", "m": "rn"})


def is_id(name: str) -> bool:
    """Whether this can be an id in a bundle or a floor."""
    return _ID.fullmatch(name) is not None


def is_tool(name: str) -> bool:
    """Whether this can be the name of a tool."""
    return _TOOL.fullmatch(name) is not None


def looks(name: str) -> tuple[str, str]:
    """What a name looks like: without regard to case, and as it is drawn.

    Two names can be taken for each other if one of the two is equal.
    """
    # Twice, since a compatibility form can hide a look (U+03F2) and can bring one (U+1D6D3).
    latin = unseen.without_joiners(name).translate(_LATIN)
    plain = unicodedata.normalize("NFKC", latin).translate(_LATIN)
    return plain.casefold(), plain.translate(_DRAWN_ALIKE)


def are_alike(one: str, other: str) -> bool:
    """Whether a reader can take one of two different names for the other."""
    return one != other and any(a == b for a, b in zip(looks(one), looks(other), strict=True))
