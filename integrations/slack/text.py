"""Text for Slack: everything that could mean something is made to mean nothing.

What holds for text that leaves through here, whoever wrote it:

- `&`, `<` and `>` are escaped, so no mention, link, date or channel command comes of it;
- no character works unseen: what `display.visible` would draw is drawn, marks that are drawn stay;
- it fits, or it is known how much of it is shown.

How Slack measures is not documented. The cost of a text here is its length as sent: escaped, as
JSON, in UTF-16 units. That is never less than any other way of counting characters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from approvals.core import display
from approvals.core.display import marks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TEXT_LIMIT: Final = 3000
HEADER_LIMIT: Final = 150
BLOCK_LIMIT: Final = 50

BAR: Final = "│ "

_ESCAPES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_LAST_OF_BASIC_PLANE: Final = 0xFFFF
_TWICE_IN_JSON: Final = ('"', "\\", "\n")


@dataclass(frozen=True, slots=True)
class Fitted:
    """Text that is ready to be sent, and how many characters of the whole it shows."""

    text: str
    shown: int
    of: int

    @property
    def whole(self) -> bool:
        """Whether nothing is missing."""
        return self.shown == self.of

    @property
    def missing(self) -> str:
        """The sentence about what is missing; empty if nothing is."""
        return "" if self.whole else f"shown {self.shown} of {self.of}, all on the page"


def drawn(text: str, *, lines: bool = False) -> str:
    """The text with everything unseen drawn as a mark; marks that are drawn already stay."""
    return "".join(
        part if place % 2 else display.visible(part, lines=lines, joiners=True)
        for place, part in enumerate(marks.split(text))
    )


def escaped(text: str) -> str:
    """The text as Slack wants literal text, in plain_text and in mrkdwn alike."""
    return text.translate(_ESCAPES)


def cost(text: str) -> int:
    """What text that is drawn and escaped takes as JSON, in UTF-16 units."""
    beyond = 0 if text.isascii() else sum(ord(each) > _LAST_OF_BASIC_PLANE for each in text)
    return len(text) + beyond + sum(text.count(each) for each in _TWICE_IN_JSON)


def fit(text: str, limit: int) -> Fitted:
    """As much of a text of one line as costs no more than `limit`, from its start."""
    return _fit(drawn(text), limit, between="\n")


def fit_barred(text: str, limit: int) -> Fitted:
    """The same of a text of several lines, each line behind a bar.

    Without the bar, a value with line feeds in it could write what looks like the next label.
    """
    fitted = _fit(drawn(text, lines=True), limit - cost(BAR), between=f"\n{BAR}")
    return Fitted(f"{BAR}{fitted.text}", fitted.shown, fitted.of)


def fit_lines(lines: Sequence[str], limit: int) -> Fitted:
    """As many whole lines, drawn and escaped already, as fit; the last says if some are missing."""
    if cost(text := "\n".join(lines)) <= limit:
        return Fitted(text, len(lines), len(lines))
    kept: list[str] = []
    room = limit - cost(Fitted("", 0, len(lines)).missing) - 8
    for line in lines:
        room -= cost(line) + 2
        if room < 0:
            break
        kept.append(line)
    fitted = Fitted("", len(kept), len(lines))
    return Fitted("\n".join([*kept, fitted.missing]), len(kept), len(lines))


def plain(text: str) -> dict[str, Any]:
    """A plain_text object of text that is drawn and escaped already."""
    return {"type": "plain_text", "text": text, "emoji": False}


def own_words(text: str) -> dict[str, Any]:
    """A mrkdwn object. Only for words and numbers of this service: nobody else's text is in one."""
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def _fit(safe: str, limit: int, *, between: str) -> Fitted:
    whole = escaped(safe).replace("\n", between)
    if cost(whole) <= limit:
        return Fitted(whole, len(safe), len(safe))
    kept: list[str] = []
    shown = 0
    for unit in _units(safe):
        ready = between if unit == "\n" else escaped(unit)
        limit -= cost(ready)
        if limit < 0:
            break
        kept.append(ready)
        shown += len(unit)
    return Fitted("".join(kept), shown, len(safe))


def _units(safe: str) -> Iterator[str]:
    """What is shown whole or not at all: a mark; a letter with what is combined with it."""
    for place, part in enumerate(marks.split(safe)):
        if place % 2:
            yield part
            continue
        unit = ""
        for character in part:
            if unit and _combines(character):
                unit += character
                continue
            if unit:
                yield unit
            unit = character
        if unit:
            yield unit


def _combines(character: str) -> bool:
    # Of what is drawn already, only a combining mark is drawn anew where it stands alone.
    return not character.isascii() and display.visible(character) != character
