"""What all events have in common: members that are open or sealed, and what they are about."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import Enum
from types import NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    ClassVar,
    Final,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from approvals.core.canonical import Json

PERSON: Final = "psn_"
SESSION: Final = "ses_"
USE: Final = "cer_"
"""One use of a passkey, by its challenge: a subject of its own, so that nobody can count them."""
NOTICE: Final = "ntc_"
KEY: Final = "key_"
BUNDLES: Final = "bundles"
"""The subject of a tenant's activations: one chain, so that none can be left out."""
SERVICE: Final = "service"
"""The subject of what happens to the service itself and to its log."""


class Erased(Enum):
    """What stands in the place of a sealed value that was not opened, or that was erased."""

    ERASED = "erased"


ERASED: Final = Erased.ERASED

_T = TypeVar("_T")
_OPEN: Final = "open"
_SEALED: Final = "sealed"
Open = Annotated[_T, _OPEN]
"""A member that everybody can read."""
Sealed = Annotated[_T | Erased, _SEALED]
"""A member that a leaf commits to; whoever writes an event gives the value itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened to `subject`, at `time` in Unix seconds.

    `ABOUT` has the kinds of subject that it can be about: one subject, or the beginning of ids.
    """

    TYPE: ClassVar[str]
    ABOUT: ClassVar[tuple[str, ...]]

    time: int
    tenant: str
    subject: str

    def open_members(self) -> dict[str, Json]:
        """The open members, as JSON."""
        return {name: _json(getattr(self, name)) for name in shape_of(type(self)).open}

    def sealed_members(self) -> dict[str, Json]:
        """The sealed members that are known, as JSON."""
        values = {name: getattr(self, name) for name in shape_of(type(self)).sealed}
        return {name: _json(value) for name, value in values.items() if value is not ERASED}

    def erased(self) -> list[str]:
        """The names of the sealed members that are not known, in alphabetical order."""
        sealed = shape_of(type(self)).sealed
        return sorted(name for name in sealed if getattr(self, name) is ERASED)


@dataclass(frozen=True, slots=True)
class Shape:
    """The members of a kind of event, open and sealed, each with the JSON types it may have."""

    open: Mapping[str, frozenset[type]]
    sealed: Mapping[str, frozenset[type]]

    def members(self) -> list[tuple[str, frozenset[type]]]:
        """All of them, whether open or sealed."""
        return [*self.open.items(), *self.sealed.items()]


_SHAPES: Final[dict[type[Event], Shape]] = {}


def shape_of(kind: type[Event]) -> Shape:
    """The shape that a class of events declares."""
    if kind not in _SHAPES:
        _SHAPES[kind] = _declared(kind)
    return _SHAPES[kind]


def _declared(kind: type[Event]) -> Shape:
    hints = get_type_hints(kind, include_extras=True)
    open_: dict[str, frozenset[type]] = {}
    sealed: dict[str, frozenset[type]] = {}
    for each in fields(kind):
        hint = hints[each.name]
        if get_origin(hint) is Annotated:
            members = open_ if _OPEN in hint.__metadata__ else sealed
            members[each.name] = _json_types(get_args(hint)[0])
    return Shape(open_, sealed)


def is_about(event: Event) -> bool:
    """Whether the subject of an event is one that its type can be about."""
    subject = event.subject
    return any(
        subject.startswith(kind) and subject != kind if kind.endswith("_") else subject == kind
        for kind in event.ABOUT
    )


def _json_types(hint: object) -> frozenset[type]:
    if get_origin(hint) in (Union, UnionType):
        return frozenset[type]().union(*map(_json_types, get_args(hint)))
    if hint is Erased:
        return frozenset()
    if get_origin(hint) is tuple:
        return frozenset({list})
    if isinstance(hint, type) and hint in (str, int, bool, NoneType):
        return frozenset({hint})
    raise TypeError(f"an event cannot have a member of type {hint}")


def _json(value: object) -> Json:
    return list(value) if isinstance(value, tuple) else value  # type: ignore[return-value]
