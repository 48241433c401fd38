r"""Text on its way into a mail: nothing unseen, nothing that a mail client makes into a link.

Mail clients make links of whatever looks like one, in plain text too. A payload with an address in
it would put a second link into a mail that people trust. So what makes a link is drawn: the dot
before a top-level domain as `⟦.⟧`, the first of two slashes as `⟦/⟧` or `⟦\⟧`, the colon of a
scheme without them as `⟦:⟧`. The brackets are never raw in a payload: nobody can mistake a drawing
for what was there.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final

from approvals.core.display import marks, visible

if TYPE_CHECKING:
    from collections.abc import Iterator

_UNIT: Final = re.compile(r"⟦[^⟦⟧]{1,8}⟧|.", re.DOTALL)
_SCHEMES: Final = (
    "callto data facetime file ftp geo http https javascript mailto sip sips skype sms tel xmpp"
)
_LINKING: Final = re.compile(
    "|".join(
        (
            r"[.\uff0e\uff61](?=[^\W\d_]{2}|xn--)",  # a domain ends in letters, an amount does not
            r"\u3002(?=[A-Za-z]{2})",  # before other letters it ends a sentence
            r"/(?=/)",
            r"\\(?=\\)",  # a share on the network, to clients on Windows
            *(rf":(?<=\b{scheme}:)(?!//)" for scheme in _SCHEMES.split()),
        )
    ),
    re.IGNORECASE,
)


def drawn(text: str, *, lines: bool = True) -> str:
    """The text for a mail: marks that it has stay, all else that is unseen or links is drawn.

    With `lines`, line feeds stay line feeds.
    """
    return "".join(
        part
        if place % 2  # text, mark, text, …
        else _LINKING.sub(lambda found: f"⟦{found[0]}⟧", visible(part, lines=lines, joiners=True))
        for place, part in enumerate(marks.split(text))
    )


def has_link_drawn(text: str) -> bool:
    """Whether a drawing stands in the text for what would have become a link."""
    return re.search(r"⟦[^U]⟧", text) is not None


def wrapped(text: str, indent: str, width: int) -> str:
    """The text in lines of at most `width` columns, each after `indent`; no character is lost.

    A line breaks after a blank where there is one, and never within a drawing. Every line begins
    with the indent, also those that the text brought itself: what stands further left is ours.
    """
    lines = [line for given in text.split("\n") for line in _lines(given, width - len(indent))]
    return "\n".join(f"{indent}{line}" for line in lines)


def columns(text: str) -> int:
    """How many columns the text takes in a fixed-width font."""
    return sum(
        0 if unicodedata.combining(each) else 1 + (unicodedata.east_asian_width(each) in "FW")
        for each in text
    )


def _lines(text: str, width: int) -> Iterator[str]:
    line: list[str] = []
    used, after_blank = 0, 0
    for unit in _UNIT.findall(text):
        size = columns(unit)
        while used + size > width and line:
            ends = after_blank or len(line)
            yield "".join(line[:ends])
            line = line[ends:]
            used, after_blank = columns("".join(line)), 0
        line.append(unit)
        used += size
        if unit == " ":
            after_blank = len(line)
    yield "".join(line)
