"""What is wrong with a bundle, and where: every problem has a file, a line and a stable code."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class BundleProblem:
    """One thing wrong with a bundle, in words that name the place."""

    file: str
    line: int
    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message} [{self.code}]"


class Problems:
    """Collects problems while a bundle is read, so that all are told at once."""

    __slots__ = ("_found",)

    def __init__(self) -> None:
        self._found: set[BundleProblem] = set()

    def add(self, file: str, line: int, code: str, message: str) -> None:
        """Note one problem; the same one twice is one."""
        self._found.add(BundleProblem(file=file, line=line, code=code, message=message))

    def __bool__(self) -> bool:
        return bool(self._found)

    def sorted(self) -> tuple[BundleProblem, ...]:
        """All problems by file and line."""
        return tuple(sorted(self._found))
