"""One way to open the files that say whom to trust, and those that hold keys.

A pipe, socket or device in the place of a file would hold whoever opens it for ever, so nothing is
waited for and only regular files are read. What is checked is the opened file, which nobody can
exchange in between. Python's own modules are all that this one needs, so both wings use it.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROOT: Final = 0
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_KINDS: Final = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class FileRefusedError(Exception):
    """Why a file is not read: words that follow its name, and which kind of fault it is.

    `code` is `kind`, `size`, `permissions`, `folder` or `unreadable`.
    """

    def __init__(self, code: str, why: str) -> None:
        super().__init__(why)
        self.code = code
        self.why = why


@dataclass(frozen=True, slots=True)
class Trust:
    """Which others may do nothing with a file: `forbidden` mode bits, said as `why` and `remedy`.

    With `owned`, the file belongs to this user or to root; with `folders`, nobody else can put
    another in its place.
    """

    forbidden: int
    why: str
    remedy: str
    owned: bool = True
    folders: bool = True


PIN: Final = Trust(_OTHERS_WRITE, "others may write it", "chmod go-w")
MOUNTED_PIN: Final = Trust(_OTHERS_WRITE, "others may write it", "chmod go-w", owned=False)
PRIVATE_KEY: Final = Trust(0o077, "others may read this private key", "chmod 600")
COMMAND_KEY: Final = Trust(
    0o077, "others may read this private key", "chmod 600", owned=False, folders=False
)
SERVICE_KEY: Final = Trust(0o077, "others may use it", "chmod 600", owned=False, folders=False)


def read(path: str | Path, *, most: int, trust: Trust | None = None) -> bytes:
    """The bytes of a regular file, `most` of them at most; `FileRefusedError` for another.

    With `trust`, a file that others may have written, or may read, is refused as well.
    """
    try:
        descriptor = os.open(path, _flags())
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise FileRefusedError("kind", f"is {_kind(found.st_mode)} and not a file")
            # Windows has no such modes; who may write is the access list's affair there.
            if trust is not None and hasattr(os, "getuid"):
                _check(path, found, trust)
                if trust.folders:
                    _check_folders(path, owned=trust.owned)
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                raw = file.read(most + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise FileRefusedError("unreadable", f"cannot be read: {error.strerror}") from error
    if len(raw) > most:
        raise FileRefusedError("size", f"is larger than {most} bytes")
    return raw


def _flags() -> int:
    """To read, to wait for nothing and to be no process's terminal, where the system has these."""
    flags = os.O_RDONLY
    for name in ("O_CLOEXEC", "O_NONBLOCK", "O_NOCTTY"):
        flags |= getattr(os, name, 0)
    return flags


def _check_folders(path: str | Path, *, owned: bool) -> None:
    """Refuse a path on which others can put another file, folder or link in the place of one.

    Each symbolic link is followed by itself: who may exchange one chooses what is read. The folder
    of the file, and that of each link, is for its owner alone to write; those above are not for
    everybody. In a folder with the sticky bit, such as /tmp, others move nothing but what is
    theirs; the folder's owner moves everything. So with `owned`, each folder and each link on the
    way belongs to this user or to root.
    """
    for step, direct in _steps(Path(path).absolute()):
        found = step.stat()
        if owned and {step.lstat().st_uid, found.st_uid} - {os.getuid(), _ROOT}:
            why = f"is reached by {step}, which belongs to another user; make it your own"
            raise FileRefusedError("folder", why)
        if not step.is_dir():  # a link to the file itself
            continue
        shared = not found.st_mode & stat.S_ISVTX
        if shared and found.st_mode & stat.S_IWOTH:
            why = f"is in a folder that anybody may write; do: chmod o-w {step}"
            raise FileRefusedError("folder", why)
        if shared and direct and found.st_mode & stat.S_IWGRP:
            why = f"is in a folder that its group may write; do: chmod g-w {step}"
            raise FileRefusedError("folder", why)


def _steps(path: Path) -> Iterator[tuple[Path, bool]]:
    """Each folder and link on the way, and whether the file or a link stands in it directly."""
    seen: set[Path] = set()
    direct: set[Path] = set()
    left = [path]
    while left:
        one = left.pop()
        direct.add(one.parent)
        for step in (one, *one.parents):
            if step not in seen and step.is_symlink():
                left.append(step.parent / step.readlink())
                direct.add(step.parent)
            seen.add(step)
    links = {step for step in seen if step.is_symlink()}
    for step in sorted({each.parent for each in seen} | links):
        yield step, step in direct


def _check(path: str | Path, found: os.stat_result, trust: Trust) -> None:
    if trust.owned and found.st_uid not in {os.getuid(), _ROOT}:
        why = "belongs to another user, who may write it; make it your own"
        raise FileRefusedError("permissions", why)
    mode, forbidden = stat.S_IMODE(found.st_mode), trust.forbidden
    if trust.owned and found.st_uid == _ROOT:
        # A mounted secret is root's and readable by the group that the process was given.
        forbidden &= ~stat.S_IRGRP
    if mode & forbidden:
        why = f"has mode {mode:04o}: {trust.why}; do: {trust.remedy} {path}"
        raise FileRefusedError("permissions", why)


def _kind(mode: int) -> str:
    return next((words for is_it, words in _KINDS if is_it(mode)), "something else")
