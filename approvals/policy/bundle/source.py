"""Strict YAML: plain JSON values, and the line on which each of them stands.

A reviewer must read the same values as the program. So the reader refuses anchors and aliases, of
which a few lines can expand to gigabytes. It refuses tags, merge keys, a second document and a
duplicate key. Only `true`, `false`, `null` and decimal numbers are not strings (YAML 1.2 core
schema without its octal and special floats): a country code `no` and a time `12:30` stay text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import yaml

from approvals.core.canonical import MAX_INTEGER
from approvals.core.numbers import is_exact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from approvals.core.canonical import Json
    from approvals.policy.bundle.problems import Problems

MAX_DEPTH = 32
_LONGEST_INTEGER = len(str(-MAX_INTEGER))

Path: TypeAlias = tuple[str | int, ...]

_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)", re.ASCII)
_FRACTION = re.compile(r"-?(0|[1-9][0-9]*)\.[0-9]+", re.ASCII)
_WORDS: dict[str, Json] = {"true": True, "false": False, "null": None}


@dataclass(frozen=True, slots=True)
class Source:
    """One file's value, with the line of every member and item."""

    file: str
    value: Json
    lines: Mapping[Path, int]

    def line(self, *path: str | int) -> int:
        """The line of the value at `path`, or of the nearest thing around it."""
        for length in range(len(path), -1, -1):
            found = self.lines.get(path[:length])
            if found is not None:
                return found
        return 1


class _RefusedError(Exception):
    """Something that this reader does not take; carries line, code and message."""

    def __init__(self, line: int, code: str, message: str) -> None:
        super().__init__(message)
        self.line, self.code, self.message = line, code, message


def read(file: str, text: str, problems: Problems) -> Source | None:
    """The file's value, or None after noting the first problem that stops reading it."""
    try:
        value, lines = _build(yaml.parse(text, Loader=yaml.SafeLoader))
    except _RefusedError as refused:
        problems.add(file, refused.line, refused.code, refused.message)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problems.add(file, mark.line + 1 if mark else 1, "yaml", f"not YAML: {error.problem}")
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        problems.add(file, line, "yaml", "not YAML: a control character")
    else:
        return Source(file, value, lines)
    return None


def _build(events: Iterator[yaml.Event]) -> tuple[Json, dict[Path, int]]:
    """Build the value from parser events, without recursion: depth costs nothing but a refusal."""
    builder = _Builder()
    for event in events:
        line = event.start_mark.line + 1 if event.start_mark else 1
        _refuse_references(event, line)
        match event:
            case yaml.DocumentStartEvent() if builder.root:
                raise _RefusedError(line, "yaml", "a second document starts here: one is allowed")
            case yaml.ScalarEvent() if builder.wants_key:
                builder.take_key(event.value, line)
            case yaml.ScalarEvent():
                builder.put(_scalar(event, line), line)
            case yaml.MappingStartEvent():
                builder.open({}, line)
            case yaml.SequenceStartEvent():
                builder.open([], line)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                builder.stack.pop()
            case _:
                pass
    return (builder.root[0] if builder.root else None), builder.lines


@dataclass(slots=True)
class _Open:
    """A container that is being filled, and the key that waits for its value."""

    container: dict[str, Json] | list[Json]
    path: Path
    key: str | None = None


class _Builder:
    """The value so far."""

    __slots__ = ("lines", "root", "stack")

    def __init__(self) -> None:
        self.lines: dict[Path, int] = {}
        self.root: list[Json] = []
        self.stack: list[_Open] = []

    @property
    def wants_key(self) -> bool:
        """Whether what comes next is a key."""
        return bool(self.stack) and self._wants_key(self.stack[-1])

    @staticmethod
    def _wants_key(top: _Open) -> bool:
        return isinstance(top.container, dict) and top.key is None

    def take_key(self, key: str, line: int) -> None:
        top = self.stack[-1]
        if key in top.container:
            # YAML readers keep the last of two equal keys; a reviewer may have read the first.
            raise _RefusedError(line, "duplicate_key", f"{key!r} is here a second time")
        top.key = key
        self.lines[(*top.path, key)] = line

    def open(self, container: dict[str, Json] | list[Json], line: int) -> None:
        if self.wants_key:
            raise _RefusedError(line, "yaml", "a key must be plain text")
        if len(self.stack) >= MAX_DEPTH:
            raise _RefusedError(line, "yaml", f"nested deeper than {MAX_DEPTH} levels")
        path = self.put(container, line)
        self.stack.append(_Open(container, path))

    def put(self, value: Json, line: int) -> Path:
        """Put a value where the next one goes, and say where that is."""
        path: Path = ()
        if not self.stack:
            self.root.append(value)
        else:
            top = self.stack[-1]
            if isinstance(top.container, list):
                path = (*top.path, len(top.container))
                top.container.append(value)
            elif top.key is not None:
                path = (*top.path, top.key)
                top.container[top.key] = value
                top.key = None
        self.lines.setdefault(path, line)
        return path


def _refuse_references(event: yaml.Event, line: int) -> None:
    if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
        raise _RefusedError(line, "alias", "anchors and aliases are not allowed: write it out")
    tag = getattr(event, "tag", None)
    if tag is not None:
        raise _RefusedError(line, "tag", f"the tag {tag!r} is not allowed")


def _scalar(event: yaml.ScalarEvent, line: int) -> Json:
    text: str = event.value
    if not event.implicit[0]:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if text == "":
        raise _RefusedError(line, "yaml", "a value is missing here; write null or ''")
    if _INTEGER.fullmatch(text):
        # The length first: more digits would only cost time to convert.
        if len(text) > _LONGEST_INTEGER or abs(int(text)) > MAX_INTEGER:
            raise _RefusedError(line, "bad_value", f"{text[:20]} is beyond ±(2^53-1)")
        return int(text)
    if not _FRACTION.fullmatch(text):
        return text
    if not is_exact(text, number := float(text)):
        raise _RefusedError(line, "bad_value", f"{text[:20]}… has more digits than a number keeps")
    return number
