"""Finding one's way in Cedar text: its policies, and the line that a parser's complaint is about.

cedarpy tells what is wrong and not where. Two facts find the place. A `;` ends a policy and stands
nowhere else outside strings and comments, so a file falls into policies by reading its tokens. And
the parser gives up at the first token that cannot follow, so the offending token is the last one of
the shortest beginning that it calls wrong rather than unfinished: a binary search.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cedarpy

if TYPE_CHECKING:
    from collections.abc import Iterator

_TOKEN = re.compile(
    r'(?P<skip>\s+|//[^\n]*)|"(?:\\.|[^"\\])*"|[A-Za-z_][A-Za-z0-9_]*|[0-9]+'
    r"|::|==|!=|<=|>=|&&|\|\||.",
    re.ASCII | re.DOTALL,
)
_UNFINISHED = "unexpected end of input"
_SYNTAX = ("invalid token", "unexpected")
_QUOTED = re.compile(r"`([^`]+)`|: (\w+)$", re.ASCII)


@dataclass(frozen=True, slots=True)
class Token:
    """A token with its place in the file."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class PolicyText:
    """One policy as it is written, up to and with its `;`."""

    whole: str
    tokens: tuple[Token, ...]

    @property
    def text(self) -> str:
        """The policy from its first token to its last."""
        return self.whole[self.tokens[0].start : self.tokens[-1].end]

    @property
    def line(self) -> int:
        """The line on which the policy starts."""
        return self.line_of(self.tokens[0])

    def line_of(self, token: Token) -> int:
        """The line of one of its tokens."""
        return self.whole.count("\n", 0, token.start) + 1

    def annotation_line(self, name: str) -> int:
        """The line of an annotation."""
        for at, token in zip(self.tokens, self.tokens[1:], strict=False):
            if at.text == "@" and token.text == name:
                return self.line_of(at)
        return self.line

    def fault_line(self, message: str) -> int:
        """The line of what the parser complains about with this message."""
        # False for every beginning that could go on, then true: so a bisection finds the first.
        lengths = range(1, len(self.tokens) + 1)
        count = bisect_left(lengths, 1, key=lambda taken: not self._unfinished(taken))
        if message.startswith(_SYNTAX):
            return self.line_of(self.tokens[min(count, len(self.tokens) - 1)])
        # The form is right and the meaning is not; the message may quote what it is about.
        for quoted in _QUOTED.finditer(message):
            for token in self.tokens:
                if token.text in quoted.groups():
                    return self.line_of(token)
        return self.line

    def _unfinished(self, taken: int) -> bool:
        start, end = self.tokens[0].start, self.tokens[taken - 1].end
        try:
            cedarpy.policies_to_json_str(self.whole[start:end])
        except ValueError as error:
            return _UNFINISHED in str(error)
        return False


def split(text: str) -> Iterator[PolicyText]:
    """The policies of a file, in order; the last may lack its `;`."""
    tokens: list[Token] = []
    for found in _TOKEN.finditer(text):
        if found["skip"] is not None:
            continue
        tokens.append(Token(found.group(), found.start(), found.end()))
        if found.group() == ";":
            yield PolicyText(text, tuple(tokens))
            tokens = []
    if tokens:
        yield PolicyText(text, tuple(tokens))
