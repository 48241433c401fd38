"""people.yaml and agents.yaml: persons, their groups, and the agents that act for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from approvals.core.registry import Agent, Person

if TYPE_CHECKING:
    from approvals.core.bundle.cursor import Cursor

TIERS = (1, 4)
LIMITS = ("calls_per_day", "calls_per_hour")


@dataclass(frozen=True, slots=True)
class People:
    """Everybody, and the groups they are in."""

    persons: dict[str, Person]
    groups: dict[str, tuple[str, ...]]

    def members(self, name: str) -> frozenset[str] | None:
        """The people that a group or a person's id stands for; None if it is neither."""
        if name in self.groups:
            return frozenset(self.groups[name])
        return frozenset((name,)) if name in self.persons else None


def read_people(file: Cursor) -> People:
    """Persons, and groups as lists of their members: who can approve is read in one place."""
    if not file.expect_members(required=("people", "groups")):
        return People({}, {})
    groups: dict[str, tuple[str, ...]] = {}
    persons = {}
    everybody = dict(file.at("people").entries()) if file.has("people") else {}
    for name, _ in file.at("groups").entries() if file.has("groups") else ():
        listed = file.at("groups").texts(name)
        groups[name] = tuple(sorted(person for person in listed if person in everybody))
        if name in everybody:
            file.at("groups", name).wrong("duplicate", f"{name!r} is both a group and a person")
        for index, member in enumerate(listed):
            if member not in everybody:
                file.at("groups", name, index).wrong("unknown_person", f"nobody is {member!r}")
    slack_ids: set[str] = set()
    for name, person in everybody.items():
        person.expect_members(required=("name",), optional=("email", "slack"))
        slack = person.optional_text("slack")
        if slack is not None and slack in slack_ids:
            # One chat account that stands for two people could fill two places of a quorum.
            person.at("slack").wrong("duplicate", f"the Slack id {slack!r} is somebody else's")
        slack_ids.update(() if slack is None else (slack,))
        persons[name] = Person(
            id=name,
            name=person.text("name"),
            email=person.optional_text("email"),
            slack=slack,
            groups=tuple(sorted(g for g, members in groups.items() if name in members)),
        )
    return People(persons, groups)


def read_agents(file: Cursor, people: People) -> dict[str, Agent]:
    """Agents, each with an owner who exists and the people whom it may serve."""
    agents: dict[str, Agent] = {}
    if not file.expect_members(required=("agents",)) or not file.has("agents"):
        return agents
    for name, agent in file.at("agents").entries():
        agent.expect_members(
            required=("owner", "purpose", "model", "tier", "users"), optional=("limits",)
        )
        owner = agent.text("owner")
        if owner and owner not in people.persons:
            agent.at("owner").wrong("unknown_person", f"the owner {owner!r} is nobody")
        users = agent.texts("users")
        for index, user in enumerate(users):
            if people.members(user) is None:
                agent.at("users", index).wrong(
                    "unknown_person", f"{user!r} is neither a person nor a group"
                )
        limits: dict[str, int] = {}
        if agent.has("limits"):
            agent.at("limits").expect_members(required=(), optional=LIMITS)
            limits = {
                limit: agent.at("limits").integer(limit, low=0, high=1_000_000)
                for limit in LIMITS
                if agent.at("limits").has(limit)
            }
        agents[name] = Agent(
            id=name,
            owner=owner,
            purpose=agent.text("purpose"),
            model=agent.text("model"),
            tier=agent.integer("tier", low=TIERS[0], high=TIERS[1]),
            users=users,
            limits=limits,
        )
    return agents
