"""From a call's arguments to the values that rules see.

The tool's JSON Schema was checked before; here each value gets the Cedar type that the rules were
checked against. Null never reaches a rule as a value: it is absent there, and its JSON pointer (RFC
6901) is in `context.nulls`. A Set forgets order and repetition, so the length of every array is in
`context.counts`, by its pointer. An opaque tool's arguments that have no type are left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from approvals.core import pointer
from approvals.policy.bundle.shapes import RecordOf, Scalar, SetOf, Shape

if TYPE_CHECKING:
    from collections.abc import Mapping

    import jsonschema_rs

    from approvals.core.canonical import Json

# Cedar's decimal is a 64-bit integer of ten-thousandths.
_DECIMAL = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,4})?", re.ASCII)
_DECIMAL_MAX = Decimal("922337203685477.5807")


@dataclass(frozen=True, slots=True)
class ArgumentType:
    """One tool's arguments: the compiled JSON Schema, their shape, and the arrays in them."""

    validator: jsonschema_rs.Draft202012Validator
    shape: RecordOf
    arrays: tuple[str, ...]
    opaque: bool


@dataclass(frozen=True, slots=True)
class TypedArguments:
    """Arguments as rules see them."""

    args: dict[str, Json]
    nulls: list[str]
    counts: dict[str, Json]


class UntypableError(Exception):
    """An argument that its type cannot hold, named by its JSON pointer."""

    def __init__(self, pointer: str, why: str) -> None:
        super().__init__(f"{pointer}: {why}")
        self.pointer = pointer


def type_arguments(kind: ArgumentType, args: Mapping[str, Json]) -> TypedArguments:
    """Arguments that fit the JSON Schema, as rules see them.

    Raises:
        UntypableError: an argument does not fit its Cedar type (an opaque tool's is left out).
    """
    typed = TypedArguments({}, [], dict.fromkeys(kind.arrays, 0))
    _fill(typed.args, kind.shape, args, "", typed, opaque=kind.opaque)
    typed.nulls.sort()
    return typed


def _fill(
    into: dict[str, Json],
    shape: RecordOf,
    args: Mapping[str, Json],
    at: str,
    typed: TypedArguments,
    *,
    opaque: bool,
) -> None:
    members = shape.members
    for name, value in args.items():
        place = at + pointer.token(name)
        if value is None:
            typed.nulls.append(place)
            continue
        member = members.get(name)
        if member is None:
            if opaque:
                continue
            raise UntypableError(place, "is not a member that rules know")
        try:
            into[name] = _value(member[0], value, place, typed, opaque=opaque)
        except UntypableError:
            if not opaque:
                raise


def _value(shape: Shape, value: Json, at: str, typed: TypedArguments, *, opaque: bool) -> Json:
    # The JSON Schema was checked before, but a `$ref` or a union may be read differently there than
    # here, and a wrong guess must never reach a rule: so each type is checked again.
    match shape:
        case Scalar("String") if isinstance(value, str):
            return value
        case Scalar("Boolean") if isinstance(value, bool):
            return value
        case Scalar("Long") if isinstance(value, (int, float)) and not isinstance(value, bool):
            if value == int(value):
                return int(value)
        case Scalar("decimal"):
            return {"__extn": {"fn": "decimal", "arg": _decimal(value, at)}}
        case SetOf(item) if isinstance(value, list):
            if at in typed.counts:
                typed.counts[at] = len(value)
            return [
                _value(item, each, at + pointer.token(index), typed, opaque=opaque)
                for index, each in enumerate(value)
            ]
        case RecordOf() if isinstance(value, dict):
            record: dict[str, Json] = {}
            _fill(record, shape, value, at, typed, opaque=opaque)
            return record
        case _:
            pass
    raise UntypableError(at, "is not of its type")


def _decimal(value: Json, at: str) -> str:
    """The one Cedar spelling of a money string or number that loses nothing."""
    if isinstance(value, float):
        # `repr` is the shortest decimal that reads back as this double, as in RFC 8785.
        text = f"{Decimal(repr(value)):f}"
        if "." in text:
            text = text.rstrip("0").rstrip(".")
    elif isinstance(value, int) and not isinstance(value, bool):
        text = str(value)
    else:
        text = value if isinstance(value, str) else ""
    if not _DECIMAL.fullmatch(text) or abs(Decimal(text)) > _DECIMAL_MAX:
        raise UntypableError(at, "is not a decimal with at most four digits after the point")
    return text if "." in text else f"{text}.0"
