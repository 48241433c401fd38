"""Files a command reads and writes: bounded, strict, and secrets only with safe permissions."""

import os
import secrets
import stat
from pathlib import Path

from approvals.core import canonical, sizes
from approvals.core.canonical import Json
from approvals.core.errors import AssentError, KeySetError
from approvals.core.jws import SigningKey

MAX_FILE_BYTES = sizes.EVIDENCE  # the largest file that any command reads


class FileError(AssentError):
    """A file named on the command line is not what the command needs."""

    default_code = "file"


def read(path: Path) -> bytes:
    """The bytes of a file; refuses what is too large to be meant."""
    with path.open("rb") as file:
        raw = file.read(MAX_FILE_BYTES + 1)
    if len(raw) > MAX_FILE_BYTES:
        raise FileError(f"larger than {MAX_FILE_BYTES} bytes", code="too_large", place=str(path))
    return raw


def read_text(path: Path) -> str:
    """The text of a UTF-8 file."""
    try:
        return read(path).decode()
    except UnicodeDecodeError as wrong:
        raise FileError(
            f"not UTF-8 at byte {wrong.start}", code="not_utf8", place=str(path)
        ) from wrong


def read_object(path: Path) -> dict[str, Json]:
    """The JSON object in a file, read as strictly as a call is."""
    try:
        value = canonical.parse(read(path), max_bytes=MAX_FILE_BYTES)
    except AssentError as wrong:
        raise FileError(wrong.message, code=wrong.code, place=str(path)) from wrong
    if not isinstance(value, dict):
        raise FileError("not a JSON object", code="not_an_object", place=str(path))
    return value


def read_secret_object(path: Path) -> dict[str, Json]:
    """The JSON object in a file that holds a private key: refused when others may read it."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise FileError(
            f"others may read this private key (mode {mode:04o}); do: chmod 600 {path}",
            code="key_permissions",
            place=str(path),
        )
    key = read_object(path)
    try:
        SigningKey.from_jwk(key)
    except KeySetError as wrong:
        raise FileError(wrong.message, code=wrong.code, place=str(path)) from wrong
    return key


def write_new_secret(path: Path, content: bytes) -> None:
    """Write a private file that did not exist; never follows or overwrites what is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError as wrong:
        raise FileError("exists already", code="file_exists", place=str(path)) from wrong
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def replace(path: Path, content: bytes) -> None:
    """Write a file whole, or leave the one that is there as it is."""
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
