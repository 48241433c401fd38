"""What is different between two calls of one tool."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from approvals.core import canonical, display, pointer

if TYPE_CHECKING:
    from approvals.core.canonical import Json


@dataclass(frozen=True, slots=True)
class Difference:
    """One argument that differs: JSON pointer, and how it was and is (None: absent)."""

    path: str
    before: str | None
    now: str | None


def differences(before: Json, now: Json) -> tuple[Difference, ...]:
    """Every leaf that differs, in order of path, drawn with visible marks."""
    old, new = dict(_leaves(before, "")), dict(_leaves(now, ""))
    return tuple(
        Difference(display.visible(path), old.get(path), new.get(path))
        for path in sorted(old.keys() | new.keys())
        if old.get(path) != new.get(path)
    )


def _leaves(value: Json, path: str) -> list[tuple[str, str]]:
    if isinstance(value, dict) and value:
        return [leaf for name in value for leaf in _leaves(value[name], path + pointer.token(name))]
    if isinstance(value, list) and value:
        return [
            leaf for index, item in enumerate(value) for leaf in _leaves(item, f"{path}/{index}")
        ]
    text = value if isinstance(value, str) else canonical.encode(value).decode()
    return [(path, display.visible(text))]
