"""The library that makes writes fail: built by the machine's C compiler, told by shared memory."""

from __future__ import annotations

import mmap
import os
import shutil
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

SIZE: Final = 4096
_NUMBERS: Final = ("armed", "first", "span", "error", "torn", "count", "fired")
_CALL, _PATH = slice(56, 88), slice(88, 568)


@dataclass(frozen=True, slots=True)
class Fault:
    """Calls that fail: from the `first` on, `span` of them."""

    first: int
    error: int
    span: int = 1
    torn: bool = False


@dataclass(frozen=True, slots=True)
class Met:
    """What became of a fault: how many writes there were, how many failed, the first of those."""

    count: int
    fired: int
    call: str
    path: str


class Control:
    """The control block of the library."""

    def __init__(self, file: Path) -> None:
        if not file.exists():
            file.write_bytes(bytes(SIZE))
        with file.open("r+b") as opened:
            self._block = mmap.mmap(opened.fileno(), SIZE)

    def set(self, fault: Fault | None) -> None:
        """Count from zero, and let this fail."""
        self._block[:SIZE] = bytes(SIZE)
        if fault is not None:
            for name in ("first", "error", "span", "torn"):
                self._put(name, int(getattr(fault, name)))

    def arm(self, *, on: bool) -> None:
        """Count, or let everything pass."""
        self._put("armed", int(on))

    @property
    def met(self) -> Met:
        """What was counted."""
        return Met(self._get("count"), self._get("fired"), self._text(_CALL), self._text(_PATH))

    def _put(self, name: str, value: int) -> None:
        struct.pack_into("q", self._block, 8 * _NUMBERS.index(name), value)

    def _get(self, name: str) -> int:
        value: int = struct.unpack_from("q", self._block, 8 * _NUMBERS.index(name))[0]
        return value

    def _text(self, where: slice) -> str:
        return self._block[where].split(b"\0")[0].decode()


def built(folder: Path) -> dict[str, str]:
    """The environment in which a process writes through the library, which is built into `folder`.

    The test is skipped, and says why, where there is nothing to build it with.
    """
    if sys.platform != "linux":
        pytest.skip("writes are made to fail with LD_PRELOAD, which is Linux's")
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler (cc) to build the library with that makes writes fail")
    library = folder / "shim.so"
    subprocess.run(  # noqa: S603 - the machine's compiler, our own source
        [
            *(compiler, "-O2", "-shared", "-fPIC", "-Wall", "-Werror", "-o", str(library)),
            *(str(Path(__file__).with_name("shim.c")), "-ldl"),
        ],
        check=True,
    )
    control = folder / "control"
    control.write_bytes(bytes(SIZE))
    return {
        **os.environ,
        "LD_PRELOAD": str(library),
        "FAULT_CONTROL": str(control),
        "FAULT_DIR": str(folder / "homes"),
    }
