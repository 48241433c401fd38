"""Arguments that are more than JSON, written as the text that people see.

A parameter that is annotated with one of these types takes exactly that type. It is written as the
JSON beside it, which is hashed, shown and approved, and the function gets the value that is read
back from there. What cannot be read back as it was is refused before anything is sent.

| annotation | what is approved and shown |
|---|---|
| `decimal.Decimal` | all its digits without an exponent, trailing zeros kept: `"750.00"` |
| `datetime.datetime` | RFC 3339 with its own offset: `"2026-11-28T02:15:39+01:00"`; without a zone it is refused |
| `datetime.date` | `"2026-11-28"` |
| `uuid.UUID` | `"f81d4fae-7dec-11d0-a765-00a0c91e6bf6"` |
| an `enum.Enum` | its value, which is text or a whole number |
| a dataclass | an object of its fields, each by its own annotation |
| a pydantic model | what `model_dump(mode="json", by_alias=True)` gives |
| `list[T]`, `tuple[T, ...]`, `dict[str, T]`, `Optional[T]` | of these |

Others are declared with `guarded(..., converters=[Converter(Money, dump=…, load=…)])`.
"""  # noqa: E501 - a table

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import types
import typing
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from approvals.core.canonical import Json

_MOST_DIGITS: Final = 100


class ConversionError(ValueError):
    """A value cannot be written as JSON that says all of it. The message does not repeat it."""


@dataclass(frozen=True, slots=True)
class Converter:
    """How values of exactly the type `kind` are written as JSON and read back.

    `dump` and `load` raise `ValueError` or `TypeError` for what they do not take.
    """

    kind: type[Any]
    dump: Callable[[Any], Json]
    load: Callable[[Any], Any]


def _dump_decimal(value: decimal.Decimal) -> str:
    if not value.is_finite():
        raise ConversionError("not a finite number")
    if value.is_zero() and value.is_signed():
        raise ConversionError("a zero with a sign")
    exponent = value.as_tuple().exponent
    if value.adjusted() > _MOST_DIGITS or -int(exponent) > _MOST_DIGITS:
        raise ConversionError(f"a number of more than {_MOST_DIGITS} digits")
    return format(value, "f")


def _dump_datetime(value: dt.datetime) -> str:
    if value.utcoffset() is None:
        raise ConversionError("a time without a time zone, which is a different time everywhere")
    return value.isoformat()


STANDARD: Final = (
    Converter(decimal.Decimal, _dump_decimal, decimal.Decimal),
    Converter(dt.datetime, _dump_datetime, dt.datetime.fromisoformat),
    Converter(dt.date, dt.date.isoformat, dt.date.fromisoformat),
    Converter(uuid.UUID, str, uuid.UUID),
)


class Conversion(typing.Protocol):
    """A converter, or several for the parts of a value."""

    def dump(self, value: Any) -> Json:
        """The JSON of a value; raises `ConversionError`, `ValueError` or `TypeError`."""
        ...

    def load(self, value: Any) -> Any:
        """The value that some JSON, which `dump` wrote, is of."""
        ...


def conversion_of(annotation: Any, converters: Iterable[Converter] = ()) -> Conversion | None:
    """What a parameter of this annotation is converted by; None where it is JSON as it is.

    Raises `TypeError` for an annotation under which JSON could be read back in two ways.
    """
    return _Resolver({it.kind: it for it in (*STANDARD, *converters)}).of(annotation)


class _Resolver:
    def __init__(self, table: Mapping[type, Converter]) -> None:
        self._table = table
        self._records: dict[type, _Record] = {}

    def of(self, annotation: Any) -> Conversion | None:
        origin = typing.get_origin(annotation)
        if origin is typing.Annotated:
            return self.of(typing.get_args(annotation)[0])
        if isinstance(annotation, typing.NewType):
            return self.of(annotation.__supertype__)
        if origin in {typing.Union, types.UnionType}:
            return self._union(annotation)
        if origin in {list, tuple, dict}:
            return self._collection(origin, typing.get_args(annotation))
        return self._leaf(annotation) if isinstance(annotation, type) else None

    def _union(self, annotation: Any) -> Conversion | None:
        members = [it for it in typing.get_args(annotation) if it is not type(None)]
        conversions = [self.of(it) for it in members]
        found = [it for it in conversions if it is not None]
        if not found:
            return None
        if len(members) > 1:
            raise TypeError(
                f"{annotation} can be read back in two ways; annotate one type, or that or None"
            )
        return _Optional(found[0])

    def _collection(self, origin: Any, args: tuple[Any, ...]) -> Conversion | None:
        if origin is tuple:
            if args[-1:] == (...,):
                return _Items(tuple, self.of(args[0]), None)
            return _Items(tuple, None, tuple(self.of(it) for it in args))
        if not args:
            return None
        inner = self.of(args[-1])
        if inner is None:
            return None
        return _Items(list, inner, None) if origin is list else _Members(inner)

    def _leaf(self, kind: type) -> Conversion | None:
        if kind in self._table:
            return _Leaf(self._table[kind])
        if kind is tuple:
            return _Items(tuple, None, None)
        if issubclass(kind, enum.Enum) and kind is not enum.Enum:
            return _Leaf(Converter(kind, _dump_member, kind))
        # Known by what every pydantic model has, so that pydantic itself is not needed here.
        if hasattr(kind, "__pydantic_validator__") and hasattr(kind, "model_validate"):
            return _Leaf(_of_model(kind))
        if dataclasses.is_dataclass(kind):
            return self._record(kind)
        return None

    def _record(self, kind: type) -> Conversion:
        known = self._records.get(kind)
        if known is None:
            # Entered first: a record may hold records of its own kind.
            known = self._records[kind] = _Record(kind, {})
            hints = typing.get_type_hints(kind, include_extras=True)
            for field in dataclasses.fields(kind):
                if not field.init:
                    raise TypeError(f"{kind.__name__}.{field.name} cannot be given to {kind!r}")
                known.fields[field.name] = self.of(hints[field.name])
        return known


@dataclass(frozen=True, slots=True)
class _Leaf:
    converter: Converter

    def dump(self, value: Any) -> Json:
        _must_be(self.converter.kind, value)
        return self.converter.dump(value)

    def load(self, value: Any) -> Any:
        return self.converter.load(value)


@dataclass(frozen=True, slots=True)
class _Optional:
    inner: Conversion

    def dump(self, value: Any) -> Json:
        return None if value is None else self.inner.dump(value)

    def load(self, value: Any) -> Any:
        return None if value is None else self.inner.load(value)


@dataclass(frozen=True, slots=True)
class _Items:
    """A list or tuple: of any number of one kind, or one of each."""

    kind: type
    inner: Conversion | None
    each: tuple[Conversion | None, ...] | None

    def _conversions(self, length: int) -> tuple[Conversion | None, ...]:
        if self.each is None:
            return (self.inner,) * length
        if len(self.each) != length:
            raise ConversionError(f"not a tuple of {len(self.each)}")
        return self.each

    def dump(self, value: Any) -> Json:
        _must_be(self.kind, value)
        pairs = zip(self._conversions(len(value)), value, strict=True)
        return [item if inner is None else inner.dump(item) for inner, item in pairs]

    def load(self, value: Any) -> Any:
        pairs = zip(self._conversions(len(value)), value, strict=True)
        return self.kind(item if inner is None else inner.load(item) for inner, item in pairs)


@dataclass(frozen=True, slots=True)
class _Members:
    """A dict from text to one kind."""

    inner: Conversion

    def dump(self, value: Any) -> Json:
        _must_be(dict, value)
        return {name: self.inner.dump(item) for name, item in value.items()}

    def load(self, value: Any) -> Any:
        return {name: self.inner.load(item) for name, item in value.items()}


@dataclass(frozen=True, slots=True)
class _Record:
    """A dataclass, field by field."""

    kind: type
    fields: dict[str, Conversion | None]

    def dump(self, value: Any) -> Json:
        _must_be(self.kind, value)
        dumped: dict[str, Json] = {}
        for name, inner in self.fields.items():
            item = getattr(value, name)
            dumped[name] = item if inner is None else inner.dump(item)
        return dumped

    def load(self, value: Any) -> Any:
        given = {
            name: value[name] if inner is None else inner.load(value[name])
            for name, inner in self.fields.items()
        }
        return self.kind(**given)


def _must_be(kind: type, value: object) -> None:
    # Exactly: a subclass may show one value to what is approved and another to the function.
    if type(value) is not kind:
        raise ConversionError(f"a {kind.__name__} is wanted and it is a {type(value).__name__}")


def _dump_member(member: enum.Enum) -> Json:
    if isinstance(member, enum.Flag) or type(member.value) not in {str, int}:
        raise ConversionError("a member of an enumeration whose value is no text and no number")
    return typing.cast("Json", member.value)


def _of_model(kind: Any) -> Converter:
    def dump(model: Any) -> Json:
        dumped = model.model_dump(mode="json", by_alias=True, round_trip=True)
        if load(dumped) != model:
            raise ConversionError("a model of which some part is not in its JSON")
        return typing.cast("Json", dumped)

    def load(value: Any) -> Any:
        return kind.model_validate(value)

    return Converter(kind, dump, load)
