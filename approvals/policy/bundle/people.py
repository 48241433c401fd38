"""people.yaml and agents.yaml: persons, their groups, and the agents that act for them.

How somebody is told and who stands in for them is under the same review as what they may approve:
an address that is changed is a way to keep somebody from hearing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from approvals.core.addresses import slack as slack_ids
from approvals.core.addresses.mail import is_mailbox
from approvals.core.registry import Agent, Person
from approvals.policy.bundle.duty import read_absences, read_on_call

if TYPE_CHECKING:
    from collections.abc import Collection

    from approvals.core.registry import Shift
    from approvals.policy.bundle.cursor import Cursor

TIERS = (1, 4)
LIMITS = ("calls_per_day", "calls_per_hour")

_HOOK = "webhook:"


@dataclass(frozen=True, slots=True)
class People:
    """Everybody, the groups they are in, and who of a group is told first, when."""

    persons: dict[str, Person]
    groups: dict[str, tuple[str, ...]]
    shifts: dict[str, tuple[Shift, ...]]

    def members(self, name: str) -> frozenset[str] | None:
        """The people that a group or a person's id stands for; None if it is neither."""
        if name in self.groups:
            return frozenset(self.groups[name])
        return frozenset((name,)) if name in self.persons else None


def read_people(file: Cursor, hooks: Collection[str]) -> People:
    """Persons, and groups as lists of their members: who can approve is read in one place."""
    if not file.expect_members(required=("people", "groups"), optional=("on_call",)):
        return People({}, {}, {})
    groups: dict[str, tuple[str, ...]] = {}
    persons = {}
    everybody = dict(file.at("people").entries()) if file.has("people") else {}
    for name, _ in file.at("groups").entries() if file.has("groups") else ():
        listed = file.at("groups").texts(name)
        groups[name] = tuple(sorted(person for person in listed if person in everybody))
        for index, member in enumerate(listed):
            if member not in everybody:
                file.at("groups", name, index).wrong("unknown_person", f"nobody is {member!r}")
    accounts: set[str] = set()
    for name, person in everybody.items():
        person.expect_members(
            required=("name",), optional=("absent", "channels", "email", "slack", "stand_ins")
        )
        slack, email = person.optional_text("slack"), person.optional_text("email")
        if slack is not None and slack in accounts:
            # One chat account that stands for two people could fill two places of a quorum.
            person.at("slack").wrong("duplicate", f"the Slack id {slack!r} is somebody else's")
        if slack is not None and not slack_ids.ACCOUNT.fullmatch(slack):
            person.at("slack").wrong(
                "bad_value", f"{slack!r} is not a Slack member id such as U04FHJONAS1"
            )
        accounts.update(() if slack is None else (slack,))
        if email is not None and not is_mailbox(email):
            person.at("email").wrong("bad_value", f"{email!r} is not a plain email address")
        stand_ins = _stand_ins(person, name, everybody)
        persons[name] = Person(
            id=name,
            name=person.text("name", joiners=True),
            email=email,
            slack=slack,
            groups=tuple(sorted(g for g, members in groups.items() if name in members)),
            channels=_channels(person, hooks),
            stand_ins=stand_ins,
            absences=read_absences(person, stand_ins),
        )
    shifts = read_on_call(file.at("on_call"), groups) if file.has("on_call") else {}
    return People(persons, groups, shifts)


def _channels(person: Cursor, hooks: Collection[str]) -> tuple[str, ...]:
    """Where this person is told, in the order written; without a word on it, wherever they are."""
    if not person.has("channels"):
        return tuple(channel for channel in ("email", "slack") if person.has(channel))
    channels = person.texts("channels")
    for index, channel in enumerate(channels):
        place = person.at("channels", index)
        # No Slack id is needed for `slack`: an account is linked by its owner, not by this file.
        if channel == "email" and not person.has("email"):
            place.wrong("no_address", "to be told by email takes an email address")
        elif channel.startswith(_HOOK):
            hook = channel.removeprefix(_HOOK)
            if hook not in hooks:
                place.wrong("unknown_hook", f"webhooks.yaml has no hook {hook!r}")
        elif channel not in ("email", "slack"):
            place.wrong("bad_value", f"{channel!r} is not email, slack or webhook:<a hook's name>")
    return channels


def _stand_ins(person: Cursor, name: str, everybody: Collection[str]) -> tuple[str, ...]:
    stand_ins = person.texts("stand_ins")
    for index, stand_in in enumerate(stand_ins):
        place = person.at("stand_ins", index)
        if stand_in not in everybody:
            place.wrong("unknown_person", f"nobody is {stand_in!r}")
        elif stand_in == name:
            place.wrong("bad_value", f"{name!r} cannot stand in for themselves")
    return tuple(sorted(stand_ins))


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
