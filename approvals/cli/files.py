"""Files a command reads and writes: bounded, strict, and secrets only with safe permissions."""

import os
import secrets
from pathlib import Path

from approvals import files as opened
from approvals.core import canonical, sizes
from approvals.core.canonical import Json
from approvals.core.errors import AssentError, KeySetError
from approvals.core.jws import SigningKey

MAX_FILE_BYTES = sizes.EVIDENCE  # the largest file that any command reads

_CODES = {
    "kind": "not_a_file",
    "size": "too_large",
    "permissions": "key_permissions",
    "folder": "key_permissions",
}


class FileError(AssentError):
    """A file named on the command line is not what the command needs."""

    default_code = "file"


def read(path: Path) -> bytes:
    """The bytes of a file; refuses what is too large to be meant, and what is no file."""
    return _read(path, None)


def _read(path: Path, trust: opened.Trust | None) -> bytes:
    try:
        return opened.read(path, most=MAX_FILE_BYTES, trust=trust)
    except opened.FileRefusedError as refused:
        if isinstance(refused.__cause__, OSError):
            raise refused.__cause__ from None
        raise FileError(refused.why, code=_CODES[refused.code], place=str(path)) from refused


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
    return _object(path, read(path))


def _object(path: Path, raw: bytes) -> dict[str, Json]:
    try:
        value = canonical.parse(raw, max_bytes=MAX_FILE_BYTES)
    except AssentError as wrong:
        raise FileError(wrong.message, code=wrong.code, place=str(path)) from wrong
    if not isinstance(value, dict):
        raise FileError("not a JSON object", code="not_an_object", place=str(path))
    return value


def read_secret_object(path: Path) -> dict[str, Json]:
    """The JSON object in a file that holds a private key: refused when others may read it."""
    key = _object(path, _read(path, opened.COMMAND_KEY))
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
