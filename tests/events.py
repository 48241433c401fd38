"""Events with a value in each of their members, made from what their classes declare."""

from __future__ import annotations

from types import NoneType
from typing import TYPE_CHECKING, Any

from approvals.core.history.events import event_of, shape_of

if TYPE_CHECKING:
    from approvals.core.canonical import Json
    from approvals.core.history.events import Event


def some_event(kind: type[Event], subject: str, *, time: int = 1, **members: Json) -> Event:
    """An event of this kind; `members` has the values that matter."""
    shape = shape_of(kind)

    def filled(types: dict[str, frozenset[type]]) -> dict[str, Json]:
        return {name: members.get(name, some_value(name, of)) for name, of in types.items()}

    return event_of(
        kind.TYPE,
        time=time,
        tenant="default",
        subject=subject,
        open_members=filled({**shape.open}),
        sealed_members=filled({**shape.sealed}),
    )


def some_value(name: str, types: frozenset[type]) -> Any:
    """A value of the first of these JSON types that is there: a text, a list, a number, a bool."""
    values: dict[type, Json] = {
        str: f"the {name} ⟦é⟧",
        list: [f"the {name}", "⟦é⟧"],
        int: 7,
        bool: True,
        NoneType: None,
    }
    return next(value for kind, value in values.items() if kind in types)
