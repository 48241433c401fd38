"""Names in one bundle that a reader can take for each other, whatever they are names of.

Approvers, owners and users are named in one way whether they are persons or groups, and evidence
names agents beside them, so these ids are compared together. So are tools and risk groups, which
are both actions of a rule. Rules, enforcers and hooks are each compared among themselves, and so
are the names that people are shown by, of which two may be equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from approvals.core import names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from approvals.core.registry import Rule
    from approvals.policy.bundle.cursor import Cursor
    from approvals.policy.bundle.problems import Problems


@dataclass(frozen=True, slots=True)
class Named:
    """One id: what it is the id of, in words, and where it stands."""

    kind: str
    name: str
    file: str
    line: int


def find_lookalikes(
    cursors: Mapping[str, Cursor], rules: Mapping[str, Rule], problems: Problems
) -> None:
    """Note each id that equals an id of another kind or looks like another id, with both places.

    `cursors` are the bundle's files by name. Equal ids of one kind are noted where they are read.
    """
    people, agents, tools = (cursors[f"{it}.yaml"] for it in ("people", "agents", "tools"))
    named = (*_keys(people, "people"), *_keys(people, "groups"), *_keys(agents, "agents"))
    _compare(named, problems)
    _compare((*_keys(tools, "risk_groups"), *_tools(tools)), problems)
    _compare(_shown(people), problems)
    _compare(_keys(cursors["enforcers.yaml"], "enforcers"), problems)
    if "webhooks.yaml" in cursors:
        _compare(_keys(cursors["webhooks.yaml"], "hooks"), problems)
    _compare((Named("a rule", it.id, it.file, it.line) for it in rules.values()), problems)


_KINDS = {
    "people": "a person",
    "groups": "a group",
    "agents": "an agent",
    "risk_groups": "a risk group",
    "enforcers": "an enforcer",
    "hooks": "a hook",
}


def _keys(file: Cursor, member: str) -> Iterator[Named]:
    found = file.at(member).value
    for name in found if isinstance(found, dict) else ():
        place = file.at(member, name)
        yield Named(_KINDS[member], name, place.file, place.line)


def _shown(file: Cursor) -> Iterator[Named]:
    for it in _keys(file, "people"):
        place = file.at("people", it.name, "name")
        if isinstance(place.value, str):
            yield Named("a person's name", place.value, place.file, place.line)


def _tools(file: Cursor) -> Iterator[Named]:
    found = file.at("tools").value
    for index in range(len(found) if isinstance(found, list) else 0):
        place = file.at("tools", index, "name")
        if isinstance(place.value, str):
            yield Named("a tool", place.value, place.file, place.line)


def _compare(ids: Iterable[Named], problems: Problems) -> None:
    """Compare each with those before it, in time that does not grow with their number squared."""
    seen: dict[str, Named] = {}
    looks: dict[tuple[str, int], Named] = {}
    for it in ids:
        same = seen.setdefault(it.name, it)
        if same is not it and same.kind != it.kind:
            problems.add(
                it.file,
                it.line,
                "duplicate",
                f"{it.name!r} is both {same.kind} ({same.file}:{same.line}) and {it.kind}",
            )
        for way, look in enumerate(names.looks(it.name)):
            other = looks.setdefault((look, way), it)
            if other.name != it.name:
                problems.add(
                    it.file,
                    it.line,
                    "lookalike",
                    f"{it.name!r}, {it.kind}, can be taken for {other.name!r}, {other.kind} in "
                    f"{other.file}:{other.line}; give one of them a name that is not alike",
                )
