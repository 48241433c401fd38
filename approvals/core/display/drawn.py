"""The document that a person is shown, made from the call and the tool's registered display alone.

What holds:

- No text of the agent other than the arguments is in it: whatever an agent writes beside a call,
  this document is the same, byte for byte ("lies in the loop").
- Every argument is in it, whole: under a registered label, or as it is among the unchecked.
- Every string in it has passed through `visible`, so that no character works unseen.
- Numbers are written as in the canonical form; below all stands the canonical form itself.

Its digest is signed with the decision. What was shown is kept as it was shown, and not made again.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from approvals.core import b64, canonical, pointer, sizes
from approvals.core.display.characters import (
    has_blank_run,
    has_unseen,
    mixed_scripts,
    scripts,
    visible,
)
from approvals.core.display.shown import Shown, ShownField, Unchecked
from approvals.core.errors import AdmissionError
from approvals.core.registry import FieldKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from approvals.core.calls import ToolCall
    from approvals.core.canonical import Json
    from approvals.core.registry import Field, Tool

UNREGISTERED = "A tool that is not registered"
MOST_FLAGS: Final = 16
"""Warnings that one field carries at most; the next one says how many more there are."""

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_GROUPS, _GROUP = 4, 4
_BITS = 5
_KEEPS_LINES = frozenset({FieldKind.TEXT, FieldKind.CODE})
_LOCATORS = frozenset({FieldKind.ADDRESS, FieldKind.HOST})
_MISSING = object()


def shown(tool: Tool | None, call: ToolCall) -> Shown:
    """What a person is shown about a call.

    Raises:
        AdmissionError: it is larger than an evidence file has room for (`too_large`).
    """
    display = tool.display if tool is not None else ()
    fields: list[ShownField] = []
    covered: set[str] = set()
    for field in display:
        value = _at(call.args, field.path)
        if value is _MISSING:
            continue  # an optional argument that the call does not have
        fields.append(_field(field, value, call.args))
        covered.add(field.path)
        currency = field.currency_path if field.kind is FieldKind.MONEY else None
        if currency is not None and isinstance(_at(call.args, currency), str):
            covered.add(currency)  # it stands beside the amount
    made = Shown(
        title=visible(tool.title if tool is not None else UNREGISTERED),
        target=visible(call.target),
        tool=visible(call.tool),
        flags=_flags([call.tool], FieldKind.TEXT),
        fields=tuple(fields),
        unchecked=tuple(
            Unchecked(visible(path), visible(_exact(value)))
            for path, value in _remaining(call.args, "", covered)
        ),
        payload=visible(call.canonical().decode()),
    )
    if len(canonical.encode(made.document())) > sizes.DISPLAY:
        raise AdmissionError(
            f"what people would be shown of this call is more than {sizes.DISPLAY} bytes",
            code="too_large",
            place="/call/args",
        )
    return made


def fingerprint(call_hash: str) -> str:
    """Eighty bits of the call hash in Crockford's base32, for people to compare: `7K3M-…`."""
    size = _GROUPS * _GROUP * _BITS
    number = int.from_bytes(b64.decode(call_hash)[: size // 8])
    letters = "".join(
        _CROCKFORD[number >> shift & (1 << _BITS) - 1] for shift in range(size - _BITS, -1, -_BITS)
    )
    return "-".join(letters[at : at + _GROUP] for at in range(0, len(letters), _GROUP))


def _field(field: Field, value: object, args: Mapping[str, Json]) -> ShownField:
    parts: list[object]
    shown: str | tuple[str, ...]
    if field.kind is FieldKind.LIST and isinstance(value, list):
        parts = list(value)
        counted = [f"{len(value)} {'item' if len(value) == 1 else 'items'}"]
        shown = tuple(visible(_plain(item)) for item in value)
    else:
        parts, counted = [value], []
        shown = visible(_plain(value), lines=field.kind in _KEEPS_LINES)
    notes: list[str] = []
    if field.kind is FieldKind.MONEY:
        currency = field.currency if field.currency_path is None else _at(args, field.currency_path)
        if isinstance(currency, str):
            parts.append(currency)
            shown = f"{shown} {visible(currency)}"
        else:
            notes.append("no currency")
    return ShownField(
        label=visible(field.label),
        kind=field.kind,
        path=visible(field.path),
        value=shown,
        flags=(*counted, *_flags(parts, field.kind), *notes),
    )


def _flags(parts: Iterable[object], kind: FieldKind) -> tuple[str, ...]:
    """What a person should be told about the values of one field before believing their eyes.

    Each sentence once, in the order in which they come up, and `MOST_FLAGS` of them: an agent can
    write a warning's cause ten thousand times, and nobody reads ten thousand warnings.
    """
    # A dictionary, because to look each one up in a list takes quadratic time.
    found = dict.fromkeys(flag for part in parts for flag in _warnings(part, kind))
    flags = list(islice(found, MOST_FLAGS))
    if len(found) > MOST_FLAGS:
        flags.append(f"{len(found) - MOST_FLAGS} more warnings like these")
    return tuple(flags)


def _warnings(value: object, kind: FieldKind) -> Iterator[str]:
    """What is wrong with one value."""
    if value is None:
        yield "null"
    elif isinstance(value, (dict, list)):
        yield "shown as JSON"
    text = _plain(value)
    if has_unseen(text):
        yield "invisible characters"
    if has_blank_run(text):
        yield "a long run of blanks"
    for word in mixed_scripts(text):
        yield f"mixed scripts ({', '.join(scripts(word)).title()}): {visible(word)}"
    if kind in _LOCATORS:
        if not text.isascii():
            yield "not plain ASCII"
        if any(label.startswith("xn--") for label in text.lower().replace("@", ".").split(".")):
            yield "an encoded international name (xn--)"


def _plain(value: object) -> str:
    """A string as it is, anything else as canonical JSON."""
    return value if isinstance(value, str) else _exact(value)


def _exact(value: object) -> str:
    return canonical.encode(value).decode()  # type: ignore[arg-type]


def _at(args: Mapping[str, Json], path: str) -> object:
    """The argument at a JSON pointer (RFC 6901), through objects; `_MISSING` if there is none."""
    found: object = args
    for name in pointer.read(path) or ():
        if not isinstance(found, dict) or name not in found:
            return _MISSING
        found = found[name]
    return found


def _remaining(value: Mapping[str, Json], at: str, covered: set[str]) -> Iterator[tuple[str, Json]]:
    """The largest parts of the arguments of which no field shows anything, in canonical order."""
    for name in sorted(value, key=lambda name: name.encode("utf-16-be", "surrogatepass")):
        path = at + pointer.token(name)
        below = value[name]
        if path in covered:
            continue
        if isinstance(below, dict) and any(each.startswith(f"{path}/") for each in covered):
            yield from _remaining(below, path, covered)
        else:
            yield path, below
