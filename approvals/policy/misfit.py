"""Why arguments do not fit a tool's JSON Schema, in words that may travel.

Reasons are told to agents and kept in records, and arguments must not be. So the schema's words are
used and never the library's own message, which repeats the argument.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jsonschema_rs

from approvals.core import pointer

if TYPE_CHECKING:
    from collections.abc import Iterable


def told(error: jsonschema_rs.ValidationError, args: object) -> str:
    """What the schema refuses, and where in the arguments."""
    steps, kind = error.instance_path, error.kind
    if isinstance(kind, jsonschema_rs.ValidationErrorKind.Required):
        return f"{pointer.write(*steps, kind.property)} is missing, and the schema requires it"
    place = pointer.write(*steps)
    if isinstance(kind, jsonschema_rs.ValidationErrorKind.Type) and place:
        wanted = " or ".join(sorted(map(str, kind.types)))
        return f"{place} is {_kind_at(args, steps)}, and the schema wants {wanted}"
    return f"{place or '/'}: does not fit the tool's schema ({kind.name})"


def _kind_at(value: Any, steps: Iterable[str | int]) -> str:
    for step in steps:
        value = value[step]
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"
