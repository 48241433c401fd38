"""Private files of JSON in a folder that its owner alone may use.

A file is written whole and durable, or not at all. One that others on the machine may read, or that
is damaged, is refused when it is read.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import stat
from typing import TYPE_CHECKING, Final

from approvals import files
from approvals.core.errors import AssentError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path


MAKING: Final = ".making-"
"""How the name of a file starts that is not written whole yet."""
MAX_FILE: Final = 4 * 1024 * 1024


def key_error(code: str, path: Path, message: str) -> AssentError:
    """The error that names `path` as the place."""
    return AssentError(message, code=code, place=str(path))


def write(path: Path, document: Mapping[str, object]) -> None:
    """Write a private JSON file whole and durable, in place of what was there.

    Raises:
        AssentError: `keys_unreadable`: nothing was written; `keys_not_durable`: it was, and its
            folder could not be flushed.
    """
    temporary = path.with_name(f"{MAKING}{secrets.token_hex(8)}")
    try:
        _write_whole(temporary, document)
        temporary.rename(path)
    except OSError as error:
        # Only what failed is cleaned up, and that this fails as well is not the news.
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise from_os(path, error) from error
    try:
        sync(path.parent)
    except OSError as error:
        raise key_error(
            "keys_not_durable",
            path,
            f"was written, but its folder could not be flushed ({error.strerror}): it holds, "
            "unless this machine stops now",
        ) from error


def _write_whole(path: Path, document: Mapping[str, object]) -> None:
    # The mode is given at creation: a later chmod would leave a moment to open the file in.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(document, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())


def sync(folder: Path) -> None:
    """Flush the folder: the names of its files outlive a loss of power."""
    with descriptor_of(folder) as descriptor:
        os.fsync(descriptor)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder for one writer; the kernel lets go of it when a process dies."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise from_os(folder, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def descriptor_of(folder: Path) -> Iterator[int]:
    """The folder, opened; it is closed at the end of the block."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def read_document(path: Path, members: Collection[str]) -> dict[str, object]:
    """The JSON object in a private file, which has these members and no others."""
    try:
        document = json.loads(files.read(path, most=MAX_FILE, trust=files.SERVICE_KEY))
    except files.FileRefusedError as error:
        if isinstance(error.__cause__, OSError):
            raise from_os(path, error.__cause__) from error
        code = "keys_permissions" if error.code == "permissions" else "keys_unreadable"
        raise key_error(code, path, error.why) from error
    except ValueError:
        raise damaged(path) from None
    if not isinstance(document, dict) or document.keys() != {*members}:
        raise damaged(path)
    return document


def check_private(path: Path, mode: int) -> None:
    """Refuse what others on the machine could read, or put a key of their own into."""
    try:
        found = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        raise from_os(path, error) from error
    if found & 0o077:
        raise key_error(
            "keys_permissions",
            path,
            f"others may use it (mode {found:04o}); run: chmod {mode:o} {path}",
        )


def damaged(path: Path) -> AssentError:
    """The error for a file that does not hold what it must."""
    return key_error(
        "keys_unreadable",
        path,
        "is not a whole key file; restore it from a backup: no key is made in its place",
    )


def from_os(path: Path, error: OSError) -> AssentError:
    """The error for what the operating system refused."""
    return key_error("keys_unreadable", path, error.strerror or type(error).__name__)
