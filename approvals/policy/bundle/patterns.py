"""What keeps a regular expression of a JSON Schema from being taken, in words.

Patterns are matched in time linear in the text, because an agent writes the text. An engine that
can do so knows neither look-around nor references back to what was matched.
"""

from __future__ import annotations

import re
from typing import Final

_TOKEN: Final = re.compile(
    r"\\(?P<back>[1-9]|k[<{'])|\\.|(?P<group>\(\?(?:<?[=!]|>))|(?P<class>\[\^?\]?)|(?P<end>\])|.",
    re.DOTALL,
)
_GROUPS: Final = {
    "(?=": "look-ahead",
    "(?!": "negative look-ahead",
    "(?<=": "look-behind",
    "(?<!": "negative look-behind",
    "(?>": "an atomic group",
}


def why_not(pattern: str) -> str:
    """The sentence about a pattern that the engine refused."""
    found = _first(pattern)
    if found is None:
        return f"{pattern!r} is not a regular expression"
    what, written = found
    return (
        f"the pattern {pattern!r} has {what} ({written}…), which is not taken: patterns are "
        "matched in linear time. Write it without, or as a rule in policies/"
    )


def _first(pattern: str) -> tuple[str, str] | None:
    """The first thing in a pattern that needs an engine which backtracks, and its beginning."""
    classes = 0
    for token in _TOKEN.finditer(pattern):
        if token["class"]:
            classes += 1
        elif token["end"]:
            classes = max(0, classes - 1)
        elif classes == 0 and token["back"]:
            return "a back-reference", token[0]
        elif classes == 0 and token["group"]:
            return _GROUPS[token["group"]], token["group"]
    return None
