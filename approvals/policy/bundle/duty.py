"""When people are away, who stands in for them then, and who is told first.

Days are UTC days, the last one included, so that a plan means the same to everybody who reads it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from approvals.core.registry import Absence, Shift

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from approvals.policy.bundle.cursor import Cursor

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_DAY = 86_400


def read_absences(person: Cursor, stand_ins: Collection[str]) -> tuple[Absence, ...]:
    """A person's absences in the order of time; no two at once, or who stands in would be open."""
    found: list[Absence] = []
    for place in person.at("absent").items() if person.has("absent") else ():
        if not place.expect_members(required=("from", "until", "stand_in")):
            continue
        start, end = _period(place)
        stand_in = place.text("stand_in")
        if stand_in and stand_in not in stand_ins:
            # The list is what an enforcer pins. Whoever is not on it would approve in vain.
            place.at("stand_in").wrong("unknown_person", f"{stand_in!r} is not in stand_ins")
        if any(start < other.end and other.start < end for other in found):
            place.wrong("overlap", "this person is already away on some of these days")
        found.append(Absence(start, end, stand_in))
    return tuple(sorted(found, key=lambda absence: absence.start))


def read_on_call(
    plan: Cursor, groups: Mapping[str, Collection[str]]
) -> dict[str, tuple[Shift, ...]]:
    """Each group's shifts in the order written; who is on call is in the group."""
    found: dict[str, tuple[Shift, ...]] = {}
    for group, listed in plan.entries():
        if group not in groups:
            listed.wrong("unknown_group", f"no group is called {group!r}")
            continue
        shifts = []
        for place in listed.items():
            if not place.expect_members(required=("from", "until", "people")):
                continue
            start, end = _period(place)
            people = place.texts("people")
            for index, person in enumerate(people):
                if person not in groups[group]:
                    place.at("people", index).wrong(
                        "unknown_person", f"{person!r} is not in the group {group!r}"
                    )
            shifts.append(Shift(start, end, people))
        found[group] = tuple(shifts)
    return found


def _period(place: Cursor) -> tuple[int, int]:
    """From the start of the first day until before the end of the last."""
    start, last = _midnight(place, "from"), _midnight(place, "until")
    if start is None or last is None:
        return 0, 0
    if last < start:
        place.at("until").wrong("bad_value", "ends before it begins")
    return start, last + _DAY


def _midnight(place: Cursor, name: str) -> int | None:
    text = place.text(name)
    if not text:
        return None
    try:
        # Only this form: `fromisoformat` takes weeks, times and zones as well.
        day = datetime.fromisoformat(text) if _DATE.fullmatch(text) else None
    except ValueError:
        day = None
    if day is None:
        place.at(name).wrong("bad_value", f"{text!r} is not a day like 2026-11-20")
        return None
    return int(day.replace(tzinfo=UTC).timestamp())
