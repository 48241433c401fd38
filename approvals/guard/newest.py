"""The newest directory that this enforcer has pinned: an older one does not take its place.

An old directory still counts who has left and passkeys that were lost. Somebody may put it back, or
a deployment that goes wrong. This process remembers the number of the newest one that it has read;
with a file, so do those that come after it.
"""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Final

from approvals.core import documents
from approvals.core.directory import Directory, verify_successor
from approvals.core.errors import Invalid
from approvals.guard.files import read_pinned_object, wrong

if TYPE_CHECKING:
    from collections.abc import Mapping

TYP: Final = "assent/newest-directory/1"
_SHAPE: Final[Mapping[str, tuple[type, ...]]] = {
    "typ": (str,),
    "issuer": (str,),
    "tenant": (str,),
    "number": (int,),
    "content": (str,),
}


class Newest:
    """Remembers which directory was the newest, in memory and, if one is named, in a file."""

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._number = 0
        self._content: str | None = None

    def verify(self, directory: Directory) -> Directory:
        """The directory, which from now on is the newest.

        Raises:
            Invalid: it is older than one that was pinned before (`directory_older`).
            CallRefused: the file cannot be read or written, or is of another service.
        """
        self._recall(directory)
        verify_successor(directory, number=self._number, content=self._content)
        content = directory.content()
        if (directory.number, content) != (self._number, self._content):
            if self._path is not None:
                self._write(self._path, directory, content)
            self._number, self._content = directory.number, content
        return directory

    def _recall(self, directory: Directory) -> None:
        """Take in what the file says, which another process may have written."""
        if self._path is None or not Path(self._path).exists():
            return
        try:
            it = documents.read(read_pinned_object(self._path), _SHAPE, "newest")
        except Invalid as error:
            raise wrong(self._path, f"does not say which directory was pinned: {error}") from error
        if it["typ"] != TYP or (it["issuer"], it["tenant"]) != (directory.issuer, directory.tenant):
            raise wrong(
                self._path,
                f"it is of {it['issuer']!r}, tenant {it['tenant']!r}; "
                "if another service is meant, remove it",
            )
        if it["number"] >= self._number:
            self._number, self._content = it["number"], it["content"]

    def _write(self, path: str, directory: Directory, content: str) -> None:
        document = {
            "typ": TYP,
            "issuer": directory.issuer,
            "tenant": directory.tenant,
            "number": directory.number,
            "content": content,
        }
        temporary = Path(path).with_name(f".{Path(path).name}-{secrets.token_hex(8)}")
        try:
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(document, file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise wrong(path, f"cannot be written: {error.strerror}") from error
