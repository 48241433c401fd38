"""Headers of a mail, as bytes that every reader decodes to exactly the text that was meant.

The standard library folds a header from a parse of its text. It reads what looks like an encoded
word as one, loses or adds blanks between encoded words, and encodes a long id, which is no id then.
Here a text that is written into a header is never read:

- `Subject` is prose. Plain ASCII stays as it is; anything else, and ASCII that a reader would take
  for an encoded word or could not unfold, becomes encoded words (RFC 2047), each within one line of
  at most 76 characters and with whole characters only.
- Every other header that is set here is printable ASCII and is folded at blanks, never encoded.
- What no header can hold (a line's end, a control character, half of a surrogate pair) is refused.
"""

from __future__ import annotations

import re
from base64 import b64encode
from email import policy
from email.headerregistry import BaseHeader, HeaderRegistry, UnstructuredHeader
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import EmailMessage

_LINE: Final = 76
_LONGEST_LINE: Final = 998
_OPENS, _CLOSES = "=?utf-8?", "?="
_LONGEST_WORD: Final = 75

_PRINTABLE: Final = re.compile(r"[!-~]+(?: [!-~]+)*", re.ASCII)
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_BARE: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")


class _Exact(UnstructuredHeader, BaseHeader):
    """A header of printable ASCII: ids, addresses, words of this service."""

    max_count: ClassVar[Literal[1] | None] = 1
    prose: ClassVar[bool] = False

    @classmethod
    def parse(cls, value: str, kwds: dict[str, Any]) -> None:
        """Take the text as it stands. Raises `ValueError` where no header can hold it."""
        if cls.prose:
            if _CONTROLS.search(value):
                raise ValueError("this has no place in a header")
        elif not _PRINTABLE.fullmatch(value):
            raise ValueError("this is not printable ASCII")
        kwds["parse_tree"] = None
        kwds["decoded"] = value

    def fold(self, *, policy: policy.Policy[Any]) -> str:
        """The header as it goes out, its end included."""
        used = len(self.name) + 2
        lines = (_words(self, used) if self.prose else None) or _folded(self, used)
        return f"{self.name}: {policy.linesep.join(lines)}{policy.linesep}"


class _Prose(_Exact):
    """A header that people read."""

    prose = True


def exact_policy() -> policy.EmailPolicy[EmailMessage]:
    """How a mail of ours is written: headers as above, those of MIME as the library does."""
    registry = HeaderRegistry(default_class=_Exact, use_default_map=True)
    for name in ("date", "from", "message-id", "sender", "to"):
        registry.map_to_type(name, _Exact)
    registry.map_to_type("subject", _Prose)
    return policy.SMTP.clone(header_factory=registry)


def _folded(text: str, used: int) -> list[str]:
    """ASCII in lines that begin with the blank at which they were parted."""
    lines = [""]
    for word in text.split(" "):
        if not lines[-1]:
            lines[-1] = word
        elif used + len(lines[-1]) + 1 + len(word) <= _LINE:
            lines[-1] += f" {word}"
        else:
            lines.append(f" {word}")
            used = 0
        if used + len(lines[-1]) > _LONGEST_LINE:
            raise ValueError("this is too long for a line of a header")
    return lines


def _words(text: str, used: int) -> list[str] | None:
    """Encoded words, one a line; None where the text can stand as it is."""
    if not text:
        return None
    longest = max(map(len, text.split(" ")))
    if _PRINTABLE.fullmatch(text) and "=?" not in text and used + longest <= _LINE:
        return None
    octets = text.encode()
    quoted = sum(1 if octet in _BARE or octet == ord(" ") else 3 for octet in octets)
    way = "q" if quoted <= (len(octets) + 2) // 3 * 4 else "b"
    words = [f"{_OPENS}{way}?{word}{_CLOSES}" for word in _encoded(text, way, used)]
    return [word if number == 0 else f" {word}" for number, word in enumerate(words)]


def _encoded(text: str, way: str, used: int) -> Iterator[str]:
    around = len(_OPENS) + 2 + len(_CLOSES)
    room = min(_LONGEST_WORD, _LINE - used) - around
    held, taken = "", b""
    for character in text:
        octets = taken + character.encode()
        word = _quoted(octets) if way == "q" else b64encode(octets).decode()
        if len(word) > room and held:
            yield held
            room = _LONGEST_WORD - around
            octets = character.encode()
            word = _quoted(octets) if way == "q" else b64encode(octets).decode()
        held, taken = word, octets
    yield held


def _quoted(octets: bytes) -> str:
    return "".join(
        chr(octet) if octet in _BARE else "_" if octet == ord(" ") else f"={octet:02X}"
        for octet in octets
    )
