"""The Cedar schema and entities that a bundle's own tools, agents and people make.

Every tool is an action of its own name and a member of its risk groups; principals are the agent
and the user it acts for, users are in their groups; the resource is the target system. What a rule
may look at is the context below, and nothing else: a name that is not here is refused when the
bundle is checked, not when a call waits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from approvals.policy.bundle.shapes import cedar_type
from approvals.policy.verdict import USAGE_COUNTERS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from approvals.core.canonical import Json
    from approvals.core.registry import Agent, Person, Tool
    from approvals.policy.bundle.arguments import ArgumentType

_LONG: dict[str, Json] = {"type": "Long"}
_STRING: dict[str, Json] = {"type": "String"}
_STRINGS: dict[str, Json] = {"type": "Set", "element": _STRING}


def _record(**attributes: dict[str, Json]) -> dict[str, Json]:
    return {"type": "Record", "attributes": dict(attributes)}


def _context(arguments: ArgumentType) -> dict[str, Json]:
    """What rules may look at when this tool is called."""
    return _record(
        args=cedar_type(arguments.shape),
        nulls=_STRINGS,
        counts=_record(**dict.fromkeys(arguments.arrays, _LONG)),
        user=_record(id=_STRING, groups=_STRINGS),
        agent=_record(id=_STRING, tier=_LONG, model=_STRING, purpose=_STRING, owner=_STRING),
        now=_LONG,
        hour=_LONG,
        weekday=_LONG,
        usage=_record(**dict.fromkeys(USAGE_COUNTERS, _LONG)),
        task={**_STRING, "required": False},
        approved={"type": "Boolean"},
    )


def schema_document(
    tools: Mapping[str, Tool],
    arguments: Mapping[str, ArgumentType],
    risk_groups: Collection[str],
) -> dict[str, Json]:
    """The schema in Cedar's JSON form."""
    actions: dict[str, Json] = {group: {} for group in sorted(risk_groups)}
    for name, tool in sorted(tools.items()):
        actions[name] = {
            "memberOf": [{"id": group} for group in tool.groups],
            "appliesTo": {
                "principalTypes": ["Agent", "User"],
                "resourceTypes": ["System"],
                "context": _context(arguments[name]),
            },
        }
    return {
        "": {
            "entityTypes": {
                "Agent": {},
                "Group": {},
                "System": {},
                "User": {"memberOfTypes": ["Group"]},
            },
            "actions": actions,
        }
    }


def entity_documents(
    *,
    people: Mapping[str, Person],
    groups: Collection[str],
    agents: Mapping[str, Agent],
    targets: Collection[str],
) -> list[Json]:
    """The entities in Cedar's JSON form, in a stable order."""

    def entity(kind: str, name: str, parents: tuple[str, ...] = ()) -> Json:
        above: list[Json] = [{"type": "Group", "id": group} for group in parents]
        return {"uid": {"type": kind, "id": name}, "attrs": {}, "parents": above}

    return [
        *(entity("Agent", name) for name in sorted(agents)),
        *(entity("Group", name) for name in sorted(groups)),
        *(entity("System", name) for name in sorted(targets)),
        *(entity("User", name, person.groups) for name, person in sorted(people.items())),
    ]
