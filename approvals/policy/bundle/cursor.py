"""A place in a bundle file from which declared members are read and nothing else is accepted.

A cursor never raises: what does not fit is noted with its line, and a harmless value stands in for
it so that the rest of the file is still checked in the same run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from approvals.core import names, unseen

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from approvals.core.canonical import Json
    from approvals.policy.bundle.problems import Problems
    from approvals.policy.bundle.source import Path, Source

MAX_TEXT = 1000


@dataclass(frozen=True, slots=True)
class Cursor:
    """The value at `path` of one file."""

    source: Source
    path: Path
    problems: Problems

    @property
    def value(self) -> Json:
        """The plain value here; None where there is nothing."""
        value = self.source.value
        for step in self.path:
            if isinstance(value, dict) and isinstance(step, str):
                value = value.get(step)
            elif isinstance(value, list) and isinstance(step, int) and step < len(value):
                value = value[step]
            else:
                return None
        return value

    @property
    def file(self) -> str:
        """The file's name."""
        return self.source.file

    @property
    def line(self) -> int:
        """The line on which the value stands."""
        return self.source.line(*self.path)

    def wrong(self, code: str, message: str) -> None:
        """Note a problem here."""
        self.problems.add(self.file, self.line, code, message)

    def at(self, *steps: str | int) -> Cursor:
        """The place `steps` below."""
        return Cursor(self.source, (*self.path, *steps), self.problems)

    def has(self, name: str) -> bool:
        """Whether this is a mapping with that member."""
        value = self.value
        return isinstance(value, dict) and name in value

    def expect_members(self, *, required: Collection[str], optional: Collection[str] = ()) -> bool:
        """Note unknown and missing members; False if this is not a mapping at all."""
        value = self.value
        if not isinstance(value, dict):
            self.wrong("wrong_type", f"{self._name()} must be a mapping with members")
            return False
        for name in value:
            if name not in required and name not in optional:
                known = ", ".join(sorted({*required, *optional}))
                self.at(name).wrong("unknown_member", f"unknown member {name!r}; known: {known}")
        for name in sorted(required):
            if name not in value:
                self.wrong("missing_member", f"{self._name()} needs the member {name!r}")
        return True

    def entries(self) -> Iterator[tuple[str, Cursor]]:
        """The members of a mapping whose names are the bundle author's own ids."""
        value = self.value
        if not isinstance(value, dict):
            self.wrong("wrong_type", f"{self._name()} must be a mapping of ids")
            return
        for name in value:
            below = self.at(name)
            if names.is_id(name):
                yield name, below
            else:
                why = f"{name!r} is not an id: 1 to {names.MAX_ID} {names.ID_LETTERS}"
                below.wrong("bad_id", why)

    def items(self) -> Iterator[Cursor]:
        """The items of a list."""
        value = self.value
        if not isinstance(value, list):
            self.wrong("wrong_type", f"{self._name()} must be a list")
            return
        for index in range(len(value)):
            yield self.at(index)

    def text(self, name: str, *, default: str = "", joiners: bool = False) -> str:
        """A line of text in which everything can be seen; `expect_members` notes a missing one.

        With `joiners`, those that a script needs are let through.
        """
        if not self.has(name):
            return default
        below = self.at(name)
        value = below.value
        if not isinstance(value, str) or not value.strip() or len(value) > MAX_TEXT:
            below.wrong("wrong_type", f"{name!r} must be text of 1 to {MAX_TEXT} characters")
            return default
        hidden = unseen.find(value, joiners=joiners)
        if hidden is not None:  # written as an escape, or by a text of several lines
            below.wrong(
                "invisible", f"{name!r} holds the invisible character {unseen.code(hidden)}"
            )
            return default
        return value

    def optional_text(self, name: str) -> str | None:
        """A line of text, or None where there is none."""
        return self.text(name) if self.has(name) else None

    def integer(self, name: str, *, low: int, high: int) -> int:
        """A whole number in a range; the low end stands in for what does not fit."""
        if not self.has(name):
            return low
        value = self.at(name).value
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            self.at(name).wrong("bad_value", f"{name!r} must be a whole number, {low} to {high}")
            return low
        return value

    def flag(self, name: str) -> bool:
        """True or false; absent is false."""
        if not self.has(name):
            return False
        value = self.at(name).value
        if not isinstance(value, bool):
            self.at(name).wrong("wrong_type", f"{name!r} must be true or false")
            return False
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of distinct names, in the order written."""
        if not self.has(name):
            return ()
        found: list[str] = []
        for item in self.at(name).items():
            value = item.value
            if not isinstance(value, str) or not value or unseen.find(value) is not None:
                item.wrong("wrong_type", f"an item of {name!r} must be text that can be seen")
            elif value in found:
                item.wrong("duplicate", f"{value!r} is in {name!r} a second time")
            else:
                found.append(value)
        return tuple(found)

    def mapping(self, name: str) -> dict[str, Json]:
        """A mapping that something else checks (a JSON Schema, a key, arguments)."""
        value = self.at(name).value if self.has(name) else {}
        if isinstance(value, dict):
            return value
        self.at(name).wrong("wrong_type", f"{name!r} must be a mapping")
        return {}

    def _name(self) -> str:
        return repr(str(self.path[-1])) if self.path else "the file"
