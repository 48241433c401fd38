"""Reading a document that came from outside: exact members, exact types, nothing extra.

Statements, requests, approvals and directories are read from tokens and files that an attacker may
have written. What holds: a document that is read has precisely the members of its shape, each of
precisely the type named (a bool is not an int, a subclass is not its base), or `Invalid` names the
place. A member that is nobody's is refused, because two readers could take it for two things.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NoReturn

from approvals.core import b64
from approvals.core.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Mapping

NULL = type(None)
# 32 bytes in canonical base64url: the last of 43 characters has two bits to spare, which are zero.
DIGEST_PATTERN = r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]"
_DIGEST = re.compile(DIGEST_PATTERN, re.ASCII)

_LAST_TIME = 253_402_300_799  # 9999-12-31T23:59:59Z: later is a mistake in the unit


def refuse(place: str, message: str) -> NoReturn:
    """Raise `Invalid` for the member at `place`."""
    raise Invalid(message, code="malformed", place=place)


def read(value: object, shape: Mapping[str, tuple[type, ...]], place: str) -> dict[str, Any]:
    """The object itself, once it has exactly the members and types of `shape`."""
    if type(value) is not dict:
        refuse(place, "not an object")
    if value.keys() != shape.keys():
        missing, unknown = shape.keys() - value.keys(), value.keys() - shape.keys()
        if missing:
            refuse(f"{place}.{min(missing)}", "missing")
        refuse(f"{place}.{min(unknown, key=str)}", "not a member of this document")
    for name, kinds in shape.items():
        if type(value[name]) not in kinds:
            refuse(f"{place}.{name}", "not of the type that this member has")
    return value


def strings(value: list[Any], place: str) -> tuple[str, ...]:
    """A list of strings as a tuple."""
    for index, item in enumerate(value):
        if type(item) is not str:
            refuse(f"{place}[{index}]", "not a string")
    return tuple(value)


def octets(value: str, place: str) -> bytes:
    """The bytes of a member written as canonical base64url without padding."""
    try:
        return b64.decode(value)
    except ValueError:
        refuse(place, "not canonical base64url without padding")


def is_digest(value: str) -> bool:
    """Whether this is a SHA-256 digest as it is written."""
    return _DIGEST.fullmatch(value) is not None


def digest(value: str, place: str) -> str:
    """A SHA-256 digest as it is written, once it is one."""
    if not is_digest(value):
        refuse(place, "not a SHA-256 digest in canonical base64url")
    return value


def moment(value: int, place: str) -> int:
    """Seconds since the epoch, within the years that have four digits."""
    if not 0 <= value <= _LAST_TIME:
        refuse(place, "not a time in seconds since 1970")
    return value
