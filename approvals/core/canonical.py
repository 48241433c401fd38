"""Strict JSON in, RFC 8785 bytes out.

A call is approved by the digest of its canonical form, so its bytes must have exactly one reading.
`parse` admits I-JSON (RFC 7493) and nothing else: UTF-8 without a byte order mark, no member twice
at any depth, no NaN or infinity, no lone surrogate, no negative zero, no number beyond ±(2^53-1) or
with digits that its canonical form would lose, bounded size and depth. Text is never normalised:
what looks alike is shown to people, not changed. A number without a fraction is an `int` however it
was spelled, so that what `parse` gives is what the canonical form says.

`encode` writes the JSON Canonicalization Scheme (RFC 8785). The package `rfc8785` is the reference;
where the bytes are provably the same, orjson writes them many times faster.
"""

from __future__ import annotations

import gc
import json
import marshal
import sys
from collections import Counter
from dataclasses import dataclass
from hashlib import sha256
from math import isfinite
from typing import Final, TypeAlias, cast

import orjson
import rfc8785

from approvals.core import b64, sizes
from approvals.core import pointer as pointers
from approvals.core.errors import AdmissionError
from approvals.core.numbers import is_exact

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

MAX_BYTES: Final = sizes.CALL
MAX_DEPTH: Final = 32
MAX_INTEGER: Final = 2**53 - 1
ENCODE_DEPTH: Final = 254
"""What `encode` takes: deeper than `parse` admits, because records hold calls within documents."""

_RANGE: Final = "a number beyond ±(2^53-1), which is not read alike everywhere"
_NOT_FINITE: Final = "a number that is not finite"
_NOT_EXACT: Final = (
    "a number with more digits than a binary64 keeps, which would be read as another number; "
    "send it as text"
)
_NEGATIVE_ZERO: Final = "-0 has no canonical form of its own"
_LONGEST_INTEGER: Final = len(str(-MAX_INTEGER))
_SCALARS: Final[frozenset[type]] = frozenset({str, int, float, bool, type(None)})
_TYPES: Final[frozenset[type]] = _SCALARS | {list, dict}
_WHOLE: Final[frozenset[type]] = _TYPES - {float}
_AMBIGUOUS: Final = object()
_BEYOND_BASIC_PLANE: Final = (0xF0, 0xF1, 0xF2, 0xF3, 0xF4)
_all_whole: Final = _WHOLE.issuperset
_referents: Final = gc.get_referents
# From 3.13 on, the dictionary of an object's attributes does not say what it refers to: a fraction
# within it would go unseen. A copy of it is a dictionary like any other.
_HIDES_ATTRIBUTES: Final = sys.version_info >= (3, 13)
_OPTIONS: Final = (
    orjson.OPT_SORT_KEYS
    | orjson.OPT_STRICT_INTEGER
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)


@dataclass(frozen=True, slots=True)
class _Fault:
    """Stands in the parsed tree where something inadmissible was read, so that it can be placed."""

    code: str
    message: str
    member: str | None = None


def parse(raw: bytes, *, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH) -> Json:
    """Read one JSON value from bytes that can be read in one way only.

    Raises:
        AdmissionError: with `code` too_large, not_utf8, byte_order_mark, not_json,
            duplicate_member, not_finite, not_exact, lone_surrogate, negative_zero, integer_range
            or too_deep, and where it was found.
    """
    if len(raw) > max_bytes:  # before anything is allocated for it
        raise AdmissionError(
            f"{len(raw)} bytes, where at most {max_bytes} are taken", code="too_large"
        )
    value = _read_canonical(raw, max_depth)
    return _read_strictly(raw, max_depth) if value is _AMBIGUOUS else cast("Json", value)


def parse_object(
    raw: bytes, *, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH
) -> dict[str, Json]:
    """Read one JSON object, as `parse` does; anything else is refused with `not_an_object`."""
    value = parse(raw, max_bytes=max_bytes, max_depth=max_depth)
    if not isinstance(value, dict):
        raise AdmissionError("a JSON object is wanted here", code="not_an_object")
    return value


def _read_canonical(raw: bytes, max_depth: int) -> object:
    """Read bytes that are what would be written for their value; otherwise return `_AMBIGUOUS`.

    Such bytes have one reading, whichever lenient reader finds it: a member that stood twice, a
    constant, another spelling of a number or of a character would not have been written again.
    """
    try:
        value: object = orjson.loads(raw)
        if orjson.dumps(value, option=_OPTIONS) == raw and _plain(value, max_depth, _WHOLE):
            return value
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        pass  # the strict reader knows how to say what is wrong
    return _AMBIGUOUS


def _read_strictly(raw: bytes, max_depth: int) -> Json:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise AdmissionError(
            "the bytes are not UTF-8", code="not_utf8", place=f"byte {error.start}"
        ) from error
    if text.startswith("\ufeff"):
        raise AdmissionError("JSON starts without a byte order mark", code="byte_order_mark")
    try:
        value: Json = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}"
        raise AdmissionError(f"not JSON: {error.msg}", code="not_json", place=place) from error
    except RecursionError as error:
        raise _too_deep(max_depth) from error
    # Only an escape can bring a surrogate into text that was UTF-8.
    suspect = b"\\ud" in raw or b"\\uD" in raw
    if suspect or not _plain(value, max_depth, _TYPES):
        _refuse_faults(value, max_depth)
    return value


def _read_object(pairs: list[tuple[str, Json]]) -> dict[str, Json] | _Fault:
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    # Readers differ on which of two equal members counts: one could show the first and run the
    # second.
    times = Counter(name for name, _ in pairs)
    twice = next(name for name, count in times.items() if count > 1)
    return _Fault("duplicate_member", "the same member stands twice in one object", twice)


def _read_integer(text: str) -> int | _Fault:
    if text == "-0":
        return _Fault("negative_zero", _NEGATIVE_ZERO)
    # The length first: turning a very long text into a number takes quadratic time.
    if len(text) <= _LONGEST_INTEGER and abs(number := int(text)) <= MAX_INTEGER:
        return number
    return _Fault("integer_range", _RANGE)


def _read_fraction(text: str) -> int | float | _Fault:
    number = float(text)
    if not isfinite(number):
        return _Fault("not_finite", _NOT_FINITE)
    if number == 0 and text.startswith("-"):
        return _Fault("negative_zero", _NEGATIVE_ZERO)
    if abs(number) > MAX_INTEGER:
        return _Fault("integer_range", _RANGE)
    if not is_exact(text, number):
        return _Fault("not_exact", _NOT_EXACT)
    return int(number) if number.is_integer() else number


def _read_constant(text: str) -> _Fault:
    return _Fault("not_finite", f"{text} is not a JSON number")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_read_object,
    parse_int=_read_integer,
    parse_float=_read_fraction,
    parse_constant=_read_constant,
)


def _plain(value: object, max_depth: int, types: frozenset[type]) -> bool:
    """Whether nothing but these types is in here, and no container deeper than `max_depth`.

    Goes level by level instead of value by value, so that the work per value is done in C. A level
    is left behind only once every type in it is known: what `gc.get_referents` tells of other
    objects is not JSON.
    """
    level = [value]
    for _ in range(max_depth):
        if not types.issuperset(map(type, level)):
            return False
        level = _referents(*level)
        if not level:
            return True
    return (types & _SCALARS).issuperset(map(type, level))


def _refuse_faults(value: object, max_depth: int) -> None:
    """Raise for the first fault in document order: the slow way, for when something looks wrong."""
    todo: list[tuple[object, tuple[str, ...]]] = [(value, ())]
    while todo:
        found, path = todo.pop()
        if isinstance(found, _Fault):
            place = path if found.member is None else (*path, found.member)
            raise AdmissionError(found.message, code=found.code, place=pointer(*place))
        if type(found) in {list, dict} and len(path) >= max_depth:
            raise _too_deep(max_depth, pointer(*path[:8]))
        # By exact type throughout: a subclass may write itself as something else than it compares
        # to.
        if type(found) is dict:
            for name in found:
                if type(name) is not str:
                    raise _foreign(name, "the name of a member", path)
                _refuse_surrogates(name, (*path, name))
            todo += [(item, (*path, name)) for name, item in found.items()][::-1]
        elif type(found) is list:
            todo += [(item, (*path, str(i))) for i, item in enumerate(found)][::-1]
        else:
            _refuse_scalar(found, path)


def _refuse_scalar(found: object, path: tuple[str, ...]) -> None:
    if type(found) not in _SCALARS:
        raise _foreign(found, "a JSON value", path)
    if type(found) is str:
        _refuse_surrogates(found, path)
    elif type(found) is int and abs(found) > MAX_INTEGER:
        raise AdmissionError(_RANGE, code="integer_range", place=pointer(*path))
    elif type(found) is float and not isfinite(found):
        raise AdmissionError(_NOT_FINITE, code="not_finite", place=pointer(*path))


def _foreign(found: object, wanted: str, path: tuple[str, ...]) -> AdmissionError:
    return AdmissionError(
        f"{type(found).__name__} is not {wanted}", code="not_json", place=pointer(*path)
    )


def _refuse_surrogates(text: str, path: tuple[str, ...]) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise AdmissionError(
            "half of a surrogate pair is not a character",
            code="lone_surrogate",
            place=pointer(*path),
        ) from error


def _too_deep(limit: int, place: str | None = None) -> AdmissionError:
    return AdmissionError(
        f"nested deeper than the {limit} levels that are taken", code="too_deep", place=place
    )


def pointer(*path: str) -> str:
    """Write a JSON pointer (RFC 6901); what cannot be printed as UTF-8 is written as an escape."""
    return pointers.write(*path).encode("utf-8", "backslashreplace").decode("utf-8")


def encode(value: Json) -> bytes:
    """Write the RFC 8785 canonical form.

    Takes exactly JSON's types: a subclass, a tuple or anything with a method for being written is
    refused, because two writers could disagree on it.

    Raises:
        AdmissionError: the value has no canonical form; `code` as for `parse`.
    """
    try:
        written = orjson.dumps(value, option=_OPTIONS)
    except orjson.JSONEncodeError:
        return _encode_slowly(value)  # which knows how to say what is wrong
    # orjson and RFC 8785 agree but for three things: what orjson takes beyond JSON (enumerations,
    # UUIDs, NaN as null), how it writes fractions, and that it sorts members by code point where
    # RFC 8785 sorts by UTF-16 unit, which differs only for characters beyond the basic plane (a
    # UTF-8 byte of 0xF0 or more).
    try:
        walked = _copy(value) if _HIDES_ATTRIBUTES else value
    except ValueError:  # of a type that is not JSON's
        return _encode_slowly(value)
    level = _referents(walked) if type(walked) is dict else [walked]
    while level:  # as in `_plain`; that it ends is known, for orjson came to an end
        if not _all_whole(map(type, level)):
            return _encode_slowly(value)
        level = _referents(*level)
    if not written.isascii():
        for lead in _BEYOND_BASIC_PLANE:
            if lead in written:
                return _encode_slowly(value)
    return written


def _copy(value: Json) -> Json:
    return cast("Json", marshal.loads(marshal.dumps(value)))  # noqa: S302 - what was just written


def digest(value: Json) -> str:
    """Name a value by content: base64url of the SHA-256 of its canonical form."""
    return b64.encode(sha256(encode(value)).digest())


def _encode_slowly(value: Json) -> bytes:
    _refuse_faults(value, ENCODE_DEPTH)
    try:
        return rfc8785.dumps(value)
    except RecursionError as error:  # the caller itself stands deep in the stack
        raise _too_deep(ENCODE_DEPTH) from error
