"""From a tool's JSON Schema to Cedar types.

Cedar is typed, so that a rule that could fail is refused before it is used. What JSON Schema may
say is more than Cedar can type; this module takes the part that both understand:

    integer -> Long             string -> String          boolean -> Bool
    array   -> Set              object -> Record, closed by `additionalProperties: false`
    x-cedar: decimal on a string or number -> decimal (at most four digits after the point)

A member that is not required, or may be null, is optional. Null is never a value for a rule. An
opaque tool's schema is typed as far as it goes, and all of it is optional.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from approvals.core import pointer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from approvals.core.canonical import Json
    from approvals.policy.bundle.cursor import Cursor

MAX_DEPTH = 16
LOCAL_REFERENCE = "#/$defs/"
# In Cedar's JSON these names are escapes: an argument so named would become an entity or a call.
_CEDAR_ESCAPES = frozenset({"__entity", "__expr", "__extn"})
_SCALARS = {"integer": "Long", "string": "String", "boolean": "Boolean"}
_UNIONS = ("anyOf", "oneOf")


@dataclass(frozen=True, slots=True)
class Scalar:
    """A String, a Boolean, a Long or a decimal."""

    cedar: str


@dataclass(frozen=True, slots=True)
class SetOf:
    """A Set of one shape."""

    item: Shape


@dataclass(frozen=True, slots=True)
class RecordOf:
    """A closed Record: name to shape and whether it is always there."""

    members: Mapping[str, tuple[Shape, bool]]


Shape: TypeAlias = Scalar | SetOf | RecordOf


class _NoShapeError(Exception):
    """A part of a schema that has no Cedar type."""

    def __init__(self, at: Cursor, why: str) -> None:
        super().__init__(why)
        self.at, self.why = at, why


def shape_of(schema: Cursor, *, opaque: bool) -> RecordOf:
    """The shape of a tool's arguments; notes every part that cannot be typed, unless opaque."""
    typing = _Typing(root=schema, opaque=opaque)
    try:
        return typing.record(schema, depth=0)
    except _NoShapeError as error:
        typing.note(error)
        return RecordOf({})


def arrays_in(shape: Shape, at: str = "") -> tuple[str, ...]:
    """The pointers of all arrays that are not inside another array, sorted."""
    match shape:
        case SetOf():
            return (at,)
        case RecordOf(members):
            found = (arrays_in(below, at + pointer.token(n)) for n, (below, _) in members.items())
            return tuple(sorted(path for paths in found for path in paths))
        case Scalar():
            return ()


def cedar_type(shape: Shape) -> dict[str, Json]:
    """The shape as a type of a Cedar JSON schema."""
    match shape:
        case Scalar("decimal"):
            return {"type": "Extension", "name": "decimal"}
        case Scalar(name):
            return {"type": name}
        case SetOf(item):
            return {"type": "Set", "element": cedar_type(item)}
        case RecordOf(members):
            return {
                "type": "Record",
                "attributes": {
                    name: {**cedar_type(below), "required": required}
                    for name, (below, required) in sorted(members.items())
                },
            }


@dataclass(frozen=True, slots=True)
class _Typing:
    """One pass over one tool's schema."""

    root: Cursor
    opaque: bool

    def note(self, error: _NoShapeError) -> None:
        if not self.opaque:
            steps = error.at.path[len(self.root.path) :]
            place = pointer.write(*steps) or "/"
            error.at.wrong("untypable", f"no Cedar type for the schema at {place}: {error.why}")

    def shape(self, at: Cursor, *, depth: int) -> Shape:
        """The shape of a value that is not null."""
        if depth > MAX_DEPTH:
            raise _NoShapeError(
                at, f"it is nested deeper than {MAX_DEPTH} levels, or refers to itself"
            )
        schema = at.value
        if not isinstance(schema, dict):
            raise _NoShapeError(at, "it says nothing about the value")
        if "$ref" in schema:
            return self.shape(self._resolve(at), depth=depth + 1)
        for union in _UNIONS:
            if union in schema and "type" not in schema:
                return self._only_variant(at.at(union), depth)
        kinds = _kinds(schema)
        return _decimal(at, kinds) if "x-cedar" in schema else self._typed(at, kinds, depth)

    def _typed(self, at: Cursor, kinds: set[str], depth: int) -> Shape:
        """The shape of a value of these JSON types."""
        match sorted(kinds):
            case ["array"]:
                return self._set(at, depth)
            case ["object"]:
                return self.record(at, depth=depth)
            case [kind] if kind in _SCALARS:
                return Scalar(_SCALARS[kind])
            case ["number"]:
                raise _NoShapeError(at, "a number with a fraction needs x-cedar: decimal")
            case several:
                raise _NoShapeError(at, f"its type is {' or '.join(several) or 'not said'}")

    def record(self, at: Cursor, *, depth: int) -> RecordOf:
        """The shape of an object."""
        schema = at.value
        if not isinstance(schema, dict):
            raise _NoShapeError(at, "it says nothing about the value")
        closed = schema.get("additionalProperties") is False and "patternProperties" not in schema
        if not closed and not (self.opaque and depth == 0):
            raise _NoShapeError(
                at, "it takes members that it does not list; say additionalProperties: false"
            )
        properties, listed = schema.get("properties", {}), schema.get("required", [])
        required = listed if isinstance(listed, list) and not self.opaque else []
        members: dict[str, tuple[Shape, bool]] = {}
        for name in properties if isinstance(properties, dict) else ():
            below = at.at("properties", name)
            try:
                shape = self._named(name, below, depth)
                always = name in required and not self._nullable(below, depth)
            except _NoShapeError as error:
                self.note(error)
            else:
                members[name] = (shape, always)
        return RecordOf(members)

    def _named(self, name: str, at: Cursor, depth: int) -> Shape:
        if name in _CEDAR_ESCAPES:
            raise _NoShapeError(at, f"the name {name!r} has a meaning in Cedar's JSON")
        return self.shape(at, depth=depth + 1)

    def _set(self, at: Cursor, depth: int) -> SetOf:
        if at.has("prefixItems") or not at.has("items"):
            raise _NoShapeError(at, "an array must say what all of its items are, with items")
        item = at.at("items")
        shape = self.shape(item, depth=depth + 1)
        if self._nullable(item, depth):
            raise _NoShapeError(item, "an item may not be null")
        return SetOf(shape)

    def _resolve(self, at: Cursor) -> Cursor:
        schema = at.value
        reference = schema.get("$ref") if isinstance(schema, dict) else None
        if isinstance(reference, str) and reference.startswith(LOCAL_REFERENCE):
            target = self.root.at("$defs", reference.removeprefix(LOCAL_REFERENCE))
            if target.value is not None:
                return target
        raise _NoShapeError(at, "it refers to something other than a definition in $defs")

    def _only_variant(self, at: Cursor, depth: int) -> Shape:
        variants = [item for item in at.items() if item.value != {"type": "null"}]
        if len(variants) != 1:
            raise _NoShapeError(at, "it has more than one variant beside null")
        return self.shape(variants[0], depth=depth + 1)

    def _nullable(self, at: Cursor, depth: int) -> bool:
        """Whether null is a value here; a doubt counts as yes, since optional is safe to assume."""
        schema = at.value
        if depth > MAX_DEPTH or not isinstance(schema, dict):
            return True
        if "$ref" in schema:
            return self._nullable(self._resolve(at), depth + 1)
        said = schema.get("type")
        if said is not None:
            return said == "null" or (isinstance(said, list) and "null" in said)
        for union in _UNIONS:
            if union in schema:
                return any(self._nullable(item, depth + 1) for item in at.at(union).items())
        return None in _listed(schema)


def _decimal(at: Cursor, kinds: set[str]) -> Scalar:
    schema = at.value
    if not isinstance(schema, dict) or schema["x-cedar"] != "decimal":
        raise _NoShapeError(at, "x-cedar knows only: decimal")
    if not kinds or not kinds <= {"integer", "number", "string"}:
        raise _NoShapeError(at, "x-cedar: decimal is for strings and numbers")
    return Scalar("decimal")


_KIND_OF = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}


def _kinds(schema: Mapping[str, Json]) -> set[str]:
    """The JSON types that a value may have, without null; from `enum` or `const` if not said."""
    said = schema.get("type")
    if isinstance(said, str):
        kinds = {said}
    elif isinstance(said, list):
        kinds = {kind for kind in said if isinstance(kind, str)}
    else:
        kinds = {_KIND_OF.get(type(value), "object") for value in _listed(schema)}
    return kinds - {"null"}


def _listed(schema: Mapping[str, Json]) -> list[Json]:
    """The values that `enum` or `const` list."""
    listed = schema["enum"] if "enum" in schema else [schema.get("const")]
    return listed if isinstance(listed, list) else []
