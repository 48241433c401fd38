"""tests/*.yaml: a call, and the verdict that is expected of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from approvals.core.calls import ToolCall
from approvals.core.errors import CallError
from approvals.core.registry import Case
from approvals.policy.verdict import USAGE_COUNTERS, DenyCode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from approvals.policy.bundle.cursor import Cursor

OUTCOMES = ("allow", "deny", "escalate")
DEFAULT_NOW = int(datetime(2026, 1, 5, 12, tzinfo=UTC).timestamp())
"""A case that says no time is decided on a Monday at noon."""

_MAX_USAGE = 1_000_000_000


def read_cases(file: Cursor) -> Iterator[Case]:
    """The cases of one file; what they expect is compared only where it is written."""
    if not file.expect_members(required=("cases",)) or not file.has("cases"):
        return
    names: set[str] = set()
    for place in file.at("cases").items():
        if not place.expect_members(
            required=("name", "call", "agent", "user", "expect"),
            optional=("at", "task", "usage", "code", "rules", "eligible"),
        ):
            continue
        case = _read_case(place)
        if case.name in names:
            place.at("name").wrong("duplicate", f"{case.name!r} is already a case in this file")
        names.add(case.name)
        yield case


def _read_case(place: Cursor) -> Case:
    call = place.at("call")
    call.expect_members(required=("target", "tool", "args"))
    target, tool, args = call.text("target"), call.text("tool"), call.mapping("args")
    try:
        ToolCall(target=target, tool=tool, args=args)
    except CallError as error:
        call.wrong("bad_value", error.message)
    outcome, code = place.text("expect"), place.optional_text("code")
    if outcome not in OUTCOMES:
        place.at("expect").wrong("bad_value", f"expect is one of {', '.join(OUTCOMES)}")
    if code is not None and (code not in set(DenyCode) or outcome != "deny"):
        place.at("code").wrong("bad_value", f"{code!r} is not a code that a deny can have")
    usage = dict.fromkeys(USAGE_COUNTERS, 0)
    if place.has("usage"):
        place.at("usage").expect_members(required=(), optional=USAGE_COUNTERS)
        for counter in USAGE_COUNTERS:
            usage[counter] = place.at("usage").integer(counter, low=0, high=_MAX_USAGE)
    return Case(
        name=place.text("name"),
        file=place.file,
        line=place.line,
        target=target,
        tool=tool,
        args=args,
        agent=place.text("agent"),
        user=place.text("user"),
        now=_moment(place),
        task=place.optional_text("task"),
        usage=usage,
        outcome=outcome,
        code=code,
        rules=tuple(sorted(place.texts("rules"))) if place.has("rules") else None,
        eligible=_eligible(place),
    )


def _eligible(place: Cursor) -> dict[str, tuple[str, ...]] | None:
    if not place.has("eligible"):
        return None
    eligible = place.at("eligible")
    return {name: tuple(sorted(eligible.texts(name))) for name, _ in eligible.entries()}


def _moment(place: Cursor) -> int:
    text = place.optional_text("at")
    if text is None:
        return DEFAULT_NOW
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        place.at("at").wrong("bad_value", "a time is like 2026-01-05T12:00:00Z, with its zone")
        return DEFAULT_NOW
    return int(moment.timestamp())
