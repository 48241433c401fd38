"""Files of the guard: read once, and refused where somebody else could have written them.

A pin says whom the enforcer trusts and a key says who it is, so each is worth what the permissions
of its file are worth. Every refusal names the file and the remedy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from approvals import files
from approvals.core import canonical, sizes
from approvals.core.errors import AssentError
from approvals.guard.refusals import CallRefused

if TYPE_CHECKING:
    from approvals.core.canonical import Json

MAX_FILE: Final = sizes.DIRECTORY


def wrong(what: str, why: str) -> CallRefused:
    """A refusal because of a variable or a file."""
    return CallRefused(why, reason="configuration", place=what)


def read_pin(path: str) -> bytes:
    """What a file holds that says whom to trust; `CallRefused` if others could change it."""
    return _read(path, files.PIN)


def read_pinned_object(path: str) -> dict[str, Json]:
    """The JSON object in a file that says whom to trust."""
    return as_object(read_pin(path), path)


def read_private_object(path: str) -> dict[str, Json]:
    """The JSON object in a file that holds a private key; `CallRefused` if others may use it."""
    return as_object(_read(path, files.PRIVATE_KEY), path)


def as_object(raw: bytes, path: str) -> dict[str, Json]:
    """Read strict JSON that is an object, or refuse the file that it came from."""
    try:
        value = canonical.parse(raw, max_bytes=MAX_FILE)
    except AssentError as error:
        raise wrong(path, f"not strict JSON: {error.code}") from error
    if not isinstance(value, dict):
        raise wrong(path, "not a JSON object")
    return value


def _read(path: str, trust: files.Trust) -> bytes:
    try:
        return files.read(path, most=MAX_FILE, trust=trust)
    except files.FileRefusedError as error:
        raise wrong(path, error.why) from error
