"""Files of the guard: read once, and refused where somebody else could have written them.

A pin says whom the enforcer trusts and a key says who it is, so each is worth what the permissions
of its file are worth. Every refusal names the file and the remedy.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from approvals.core import canonical, sizes
from approvals.core.errors import AssentError
from approvals.guard.refusals import CallRefused

if TYPE_CHECKING:
    from approvals.core.canonical import Json

MAX_FILE: Final = sizes.DIRECTORY
_ROOT: Final = 0


def wrong(what: str, why: str) -> CallRefused:
    """A refusal because of a variable or a file."""
    return CallRefused(f"{what} {why}", reason="configuration", place=what)


def read_pin(path: str) -> bytes:
    """What a file holds that says whom to trust; `CallRefused` if others could change it."""
    return _read(path, forbidden=0o022, why="others may write it", remedy="chmod go-w")


def read_pinned_object(path: str) -> dict[str, Json]:
    """The JSON object in a file that says whom to trust."""
    return as_object(read_pin(path), path)


def read_private_object(path: str) -> dict[str, Json]:
    """The JSON object in a file that holds a private key; `CallRefused` if others may use it."""
    raw = _read(path, forbidden=0o077, why="others may read this private key", remedy="chmod 600")
    return as_object(raw, path)


def as_object(raw: bytes, path: str) -> dict[str, Json]:
    """Read strict JSON that is an object, or refuse the file that it came from."""
    try:
        value = canonical.parse(raw, max_bytes=MAX_FILE)
    except AssentError as error:
        raise wrong(path, f"is not strict JSON: {error.code}") from error
    if not isinstance(value, dict):
        raise wrong(path, "is not a JSON object")
    return value


def _read(path: str, *, forbidden: int, why: str, remedy: str) -> bytes:
    try:
        # The opened file is the one that is checked: it cannot be exchanged in between.
        with Path(path).open("rb") as file:
            found = os.fstat(file.fileno())
            _check(path, found, forbidden=forbidden, why=why, remedy=remedy)
            _check_folders(path)
            raw = file.read(MAX_FILE + 1)
    except OSError as error:
        raise wrong(path, f"cannot be read: {error.strerror}") from error
    if len(raw) > MAX_FILE:
        raise wrong(path, f"is larger than {MAX_FILE} bytes")
    return raw


def _check(path: str, found: os.stat_result, *, forbidden: int, why: str, remedy: str) -> None:
    if not hasattr(os, "getuid"):
        return  # Windows has no such modes; who may write is the access list's affair there.
    if found.st_uid not in {os.getuid(), _ROOT}:
        raise wrong(path, "belongs to another user, who may write it; make it your own")
    mode = stat.S_IMODE(found.st_mode)
    if found.st_uid == _ROOT:
        # A mounted secret is root's and readable by the group that the process was given.
        forbidden &= ~stat.S_IRGRP
    if mode & forbidden:
        raise wrong(path, f"has mode {mode:04o}: {why}; do: {remedy} {path}")


def _check_folders(path: str) -> None:
    """Refuse a folder, anywhere on the way, in which anybody can put another file or folder.

    Each symbolic link is followed by itself: who may exchange one chooses what is read.
    """
    seen: set[Path] = set()
    left = [Path(path).absolute()]
    while left:
        one = left.pop()
        for step in (one, *one.parents):
            if step not in seen and step.is_symlink():
                left.append(step.parent / step.readlink())
            seen.add(step)
    for folder in {step.parent for step in seen}:
        mode = folder.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            raise wrong(path, f"is in a folder that anybody may write; do: chmod o-w {folder}")
