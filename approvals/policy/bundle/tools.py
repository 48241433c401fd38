"""tools.yaml: risk groups and the tools in them.

A tool's name is its Cedar action, so it is unique in a bundle. Its display is checked against its
schema: a path that no argument can have would show an approver an empty line instead of a fact. The
digest of the whole entry is the tool's definition: whatever of it changes, it is another tool.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import jsonschema_rs

from approvals.core import canonical, pointer
from approvals.core.calls import ToolCall
from approvals.core.errors import CallError
from approvals.core.registry import Field, FieldKind, Tool
from approvals.policy.bundle.arguments import ArgumentType
from approvals.policy.bundle.enforcers import check_target
from approvals.policy.bundle.patterns import why_not
from approvals.policy.bundle.shapes import LOCAL_REFERENCE, MAX_DEPTH, arrays_in, shape_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from approvals.core.canonical import Json
    from approvals.policy.bundle.cursor import Cursor
    from approvals.policy.bundle.people import People

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_KINDS = ", ".join(kind.value for kind in FieldKind)


@dataclass(frozen=True, slots=True)
class Tools:
    """The registered tools, their compiled arguments, and the risk groups that are declared."""

    tools: dict[str, Tool]
    arguments: dict[str, ArgumentType]
    risk_groups: dict[str, str]


def read_tools(file: Cursor, people: People, guarded: Collection[str]) -> Tools:
    """Tools; each target must be one that an enforcer guards, or nothing could ever call it."""
    found = Tools({}, {}, {})
    if not file.expect_members(required=("risk_groups", "tools")):
        return found
    for name, _ in file.at("risk_groups").entries() if file.has("risk_groups") else ():
        found.risk_groups[name] = file.at("risk_groups").text(name)
    for place in file.at("tools").items() if file.has("tools") else ():
        if place.expect_members(
            required=("name", "target", "title", "groups", "owner", "schema"),
            optional=("opaque", "display", "definition_digest"),
        ):
            _read_tool(place, found, people, guarded)
    return found


def _read_tool(place: Cursor, found: Tools, people: People, guarded: Collection[str]) -> None:
    name, target, owner = place.text("name"), place.text("target"), place.text("owner")
    if name in found.tools:
        place.at("name").wrong("duplicate", f"{name!r} is already a tool")
    _check_name(place, name)
    if target:
        check_target(place.at("target"), target)
        if target not in guarded:
            place.at("target").wrong("unknown_target", f"no enforcer guards {target!r}")
    if owner and people.members(owner) is None:
        place.at("owner").wrong("unknown_person", f"{owner!r} is neither a person nor a group")
    groups = place.texts("groups")
    for index, group in enumerate(groups):
        if group not in found.risk_groups:
            place.at("groups", index).wrong("unknown_group", f"no risk group is called {group!r}")
    opaque, schema = place.flag("opaque"), place.mapping("schema")
    arguments = _arguments(place.at("schema"), schema, opaque=opaque)
    if arguments is not None:
        found.arguments[name] = arguments
    found.tools[name] = Tool(
        name=name,
        target=target,
        title=place.text("title"),
        schema=schema,
        groups=tuple(sorted(groups)),
        owner=owner,
        opaque=opaque,
        display=tuple(_display(place)) if place.has("display") else (),
        definition=_definition(place),
    )


def _definition(place: Cursor) -> str:
    """The digest of the whole entry as it is written: a title or label is what people were shown.

    A `definition_digest` of the author's own is one of its members, so it adds to the others and
    stands for none of them.
    """
    place.optional_text("definition_digest")
    return canonical.digest(place.value)


def _check_name(place: Cursor, name: str) -> None:
    try:
        ToolCall(target="urn:any", tool=name, args={})
    except CallError as error:
        place.at("name").wrong("bad_id", error.message)


def _arguments(place: Cursor, schema: dict[str, Json], *, opaque: bool) -> ArgumentType | None:
    if not place.value:
        return None
    if schema.get("$schema", DIALECT) != DIALECT or schema.get("type") != "object":
        place.wrong("bad_schema", f"arguments are an object in the dialect {DIALECT}")
        return None
    try:
        # Offline: a bundle must not make the service fetch what a schema refers to. The linear
        # regular expressions keep a pattern from costing exponential time on an agent's argument.
        validator = jsonschema_rs.Draft202012Validator(
            schema, offline=True, pattern_options=jsonschema_rs.RegexOptions()
        )
    except jsonschema_rs.ValidationError as error:
        place.at(*error.instance_path).wrong("bad_schema", _why_not(error))
        return None
    shape = shape_of(place, opaque=opaque)
    return ArgumentType(validator=validator, shape=shape, arrays=arrays_in(shape), opaque=opaque)


def _why_not(error: jsonschema_rs.ValidationError) -> str:
    match error.kind:
        case jsonschema_rs.ValidationErrorKind.Format(format="regex"):
            return why_not(str(error.instance))
        case _:
            return f"not JSON Schema: {error.message}"


def _display(tool: Cursor) -> Iterator[Field]:
    seen: set[str] = set()
    for place in tool.at("display").items():
        if not place.expect_members(
            required=("path", "label", "kind"), optional=("currency", "currency_path", "summary")
        ):
            continue
        path, kind = place.text("path"), place.text("kind")
        _check_path(tool, place.at("path"), path)
        if path in seen:
            place.at("path").wrong("duplicate", f"{path!r} is displayed twice")
        seen.add(path)
        if kind not in set(FieldKind):
            place.at("kind").wrong("bad_value", f"{kind!r} is not a kind; known: {_KINDS}")
            kind = FieldKind.TEXT
        currency, currency_path = (
            place.optional_text("currency"),
            place.optional_text("currency_path"),
        )
        if currency_path is not None:
            _check_path(tool, place.at("currency_path"), currency_path)
        named = (currency is not None) + (currency_path is not None)
        if named != (1 if kind == FieldKind.MONEY else 0):
            # "500" of what? An amount without its currency can be read as any.
            place.wrong(
                "currency", "money needs one of currency and currency_path; nothing else does"
            )
        yield Field(
            path=path,
            label=place.text("label"),
            kind=FieldKind(kind),
            currency=currency,
            currency_path=currency_path,
            summary=place.flag("summary"),
        )


def _check_path(tool: Cursor, place: Cursor, path: str) -> None:
    schema = tool.at("schema")
    steps = pointer.read(path)
    if not steps:
        place.wrong("bad_path", f"{path!r} is not a JSON pointer such as /amount")
        return
    at: Cursor | None = schema
    for name in steps:
        at = None if at is None else _member(schema, at, name)
    if at is None or at.value is None:
        place.wrong("bad_path", f"the tool's schema has no argument at {path!r}")


def _member(root: Cursor, at: Cursor, name: str, depth: int = 0) -> Cursor | None:
    """Where the schema speaks of a member, through local references and nullable unions."""
    schema = at.value
    if not isinstance(schema, dict) or depth > MAX_DEPTH:
        return None
    properties = schema.get("properties")
    if isinstance(properties, dict) and name in properties:
        return at.at("properties", name)
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith(LOCAL_REFERENCE):
        target = root.at("$defs", reference.removeprefix(LOCAL_REFERENCE))
        return _member(root, target, name, depth + 1)
    for union in ("anyOf", "oneOf"):
        if union in schema:
            found = (_member(root, item, name, depth + 1) for item in at.at(union).items())
            return next((place for place in found if place is not None), None)
    return None
