"""The bundle: one content-addressed version of who exists and what may happen.

`version` is the digest of the canonical form of its files exactly as they were reviewed. A `Bundle`
exists only if everything in it was checked, and holds what policy needs prepared, so that a verdict
costs an evaluation and little else.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cedarpy

from approvals.core import canonical, unseen
from approvals.core.decision.ceremony import StepUp
from approvals.core.errors import BundleError
from approvals.policy.bundle.cases import read_cases
from approvals.policy.bundle.cedar_schema import entity_documents, schema_document
from approvals.policy.bundle.cursor import Cursor
from approvals.policy.bundle.enforcers import read_enforcers
from approvals.policy.bundle.lookalikes import find_lookalikes
from approvals.policy.bundle.people import read_agents, read_people
from approvals.policy.bundle.problems import BundleProblem, Problems
from approvals.policy.bundle.rules import read_rules, validate
from approvals.policy.bundle.source import Source, read
from approvals.policy.bundle.tools import read_tools
from approvals.policy.bundle.webhooks import read_hooks

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from approvals.core.registry import Agent, Case, Enforcer, Hook, Person, Rule, Shift, Tool
    from approvals.policy.bundle.arguments import ArgumentType

PEOPLE_FILE = "people.yaml"
REQUIRED_FILES = ("agents.yaml", "enforcers.yaml", PEOPLE_FILE, "tools.yaml")
HOOKS_FILE = "webhooks.yaml"
OPTIONAL_FILES = (HOOKS_FILE,)
MAX_FILE = 1_000_000

POLICY_FOLDER, CASE_FOLDER = "policies", "tests"
_POLICIES = re.compile(rf"{POLICY_FOLDER}/[A-Za-z0-9][A-Za-z0-9._-]*\.cedar", re.ASCII)
_CASES = re.compile(rf"{CASE_FOLDER}/[A-Za-z0-9][A-Za-z0-9._-]*\.yaml", re.ASCII)


@dataclass(frozen=True, slots=True)
class Engine:
    """What is prepared once a bundle."""

    policies: cedarpy.PolicySet
    rule_names: tuple[str, ...]
    schema: cedarpy.Schema
    entities: cedarpy.Entities
    arguments: Mapping[str, ArgumentType]
    served: Mapping[str, frozenset[str]]
    needs_usage: bool
    rules_use_usage: bool


@dataclass(frozen=True, slots=True)
class Bundle:
    """A checked bundle."""

    version: str
    files: Mapping[str, str]
    people: Mapping[str, Person]
    groups: Mapping[str, tuple[str, ...]]
    shifts: Mapping[str, tuple[Shift, ...]]
    agents: Mapping[str, Agent]
    tools: Mapping[str, Tool]
    risk_groups: Mapping[str, str]
    enforcers: Mapping[str, Enforcer]
    hooks: Mapping[str, Hook]
    rules: Mapping[str, Rule]
    cases: tuple[Case, ...]
    engine: Engine = field(repr=False, compare=False)

    @staticmethod
    def load(files: Mapping[str, str]) -> Bundle:
        """The bundle that these files are, by name, exactly as they were reviewed.

        Raises:
            BundleError: of the first problem; `problems` has all of them.
        """
        bundle, problems = _read(files)
        if bundle is None:
            raise refusal(problems)
        return bundle

    def tool(self, target: str, tool: str) -> Tool | None:
        """The tool registered under this name for exactly this target, if there is one."""
        found = self.tools.get(tool)
        return found if found is not None and found.target == target else None

    def members(self, name: str) -> frozenset[str]:
        """The people that a group or a person's id stands for; unknown names stand for nobody."""
        if name in self.groups:
            return frozenset(self.groups[name])
        return frozenset((name,)) if name in self.people else frozenset()

    def acting_for(self, person: str, now: int, *, never: Collection[str] = ()) -> str | None:
        """Who fills this person's place at `now`: they themselves, or their stand-in while away.

        A stand-in who is away as well passes the place on, as long as it goes to somebody whom the
        first one lists. None where that leads in a circle, to nobody listed, or to one of `never`:
        those neither take a place nor say who does.
        """
        may = (person, *self.people[person].stand_ins)
        passed: set[str] = set()
        acting = person
        while acting not in never and acting not in passed:
            passed.add(acting)
            away = next((it for it in self.people[acting].absences if it.covers(now)), None)
            if away is None:
                return acting if acting in may else None
            acting = away.stand_in
        return None

    def on_call(self, group: str, now: int) -> tuple[str, ...]:
        """Who of this group is told first at `now`, those away replaced; nobody if no shift is on.

        Only telling depends on it, never who may approve.
        """
        listed = [name for it in self.shifts.get(group, ()) if it.covers(now) for name in it.people]
        acting = (self.acting_for(name, now) for name in listed)
        return tuple(dict.fromkeys(name for name in acting if name is not None))


def refusal(problems: Sequence[BundleProblem]) -> BundleError:
    """The error that says the first of these problems and holds all of them."""
    first = problems[0]
    return BundleError(
        first.message, file=first.file, line=first.line, code=first.code, problems=problems
    )


def needs_attestation(bundle: Bundle) -> tuple[BundleProblem, ...]:
    """A problem for every rule that nobody could satisfy where no maker's attestation is trusted.

    It is for whoever knows the service's settings to say whether they are problems.
    """
    return tuple(
        BundleProblem(
            file=rule.file,
            line=rule.line,
            code="attestation",
            message=f"the rule {rule.id!r} asks for {StepUp.HARDWARE.value}, and no attestation "
            "is trusted: ASSENT_ATTESTATION_ROOTS names the folder of roots",
        )
        for rule in sorted(bundle.rules.values(), key=lambda rule: (rule.file, rule.line))
        if rule.asks is not None and rule.asks.step_up is StepUp.HARDWARE
    )


def check(files: Mapping[str, str]) -> list[BundleProblem]:
    """Everything that is wrong with these files, by file and line; empty if they are a bundle."""
    return list(_read(files)[1])


def people_in(files: Mapping[str, str]) -> Mapping[str, Person]:
    """The people of a bundle that was accepted once; its rules are not looked at.

    What this version would not accept any more is read as far as it can be.
    """
    problems = Problems()
    sources = {
        name: read(name, files[name], problems)
        for name in (PEOPLE_FILE, HOOKS_FILE)
        if name in files
    }
    cursors = {n: Cursor(s, (), problems) for n, s in sources.items() if isinstance(s, Source)}
    if PEOPLE_FILE not in cursors:
        return {}
    hooks = read_hooks(cursors[HOOKS_FILE]) if HOOKS_FILE in cursors else {}
    return read_people(cursors[PEOPLE_FILE], hooks).persons


def is_bundle_file(name: str) -> bool:
    """Whether a file with this name belongs to a bundle; `check` refuses every other."""
    if name in REQUIRED_FILES or name in OPTIONAL_FILES:
        return True
    return bool(_POLICIES.fullmatch(name) or _CASES.fullmatch(name))


def _read(files: Mapping[str, str]) -> tuple[Bundle | None, tuple[BundleProblem, ...]]:
    problems = Problems()
    _check_files(files, problems)
    sources = {
        name: read(name, text, problems)
        for name, text in sorted(files.items())
        if name.endswith(".yaml") and is_bundle_file(name)
    }
    if problems:  # a file that cannot be read makes everything that refers to it look wrong
        return None, problems.sorted()
    cursors = {n: Cursor(s, (), problems) for n, s in sources.items() if isinstance(s, Source)}
    hooks = read_hooks(cursors[HOOKS_FILE]) if HOOKS_FILE in cursors else {}
    people = read_people(cursors[PEOPLE_FILE], hooks)
    agents = read_agents(cursors["agents.yaml"], people)
    enforcers = read_enforcers(cursors["enforcers.yaml"], agents.keys())
    guarded = {target for enforcer in enforcers.values() for target in enforcer.targets}
    tools = read_tools(cursors["tools.yaml"], people, guarded)
    cases = [
        case
        for name, cursor in sorted(cursors.items())
        if _CASES.fullmatch(name)
        for case in read_cases(cursor)
    ]
    cedar = {name: text for name, text in files.items() if _POLICIES.fullmatch(name)}
    rules = read_rules(cedar, people, problems)
    find_lookalikes(cursors, rules.rules, problems)
    if problems:  # Cedar's validator would only repeat, in its own words, what a bad tool causes
        return None, problems.sorted()
    schema = cedarpy.Schema.from_json_str(
        json.dumps(schema_document(tools.tools, tools.arguments, tools.risk_groups))
    )
    validate(rules, schema, problems)
    if problems:
        return None, problems.sorted()
    entities = entity_documents(
        people=people.persons, groups=people.groups, agents=agents, targets=guarded
    )
    engine = Engine(
        policies=cedarpy.PolicySet.from_str(rules.text),
        rule_names=rules.names,
        schema=schema,
        entities=cedarpy.Entities.from_json_str(json.dumps(entities), schema),
        arguments=tools.arguments,
        served={
            name: frozenset().union(*(people.members(user) or () for user in agent.users))
            for name, agent in agents.items()
        },
        rules_use_usage=rules.uses_usage,
        needs_usage=rules.uses_usage or any(agent.limits for agent in agents.values()),
    )
    bundle = Bundle(
        version=canonical.digest(dict(files)),
        files=dict(files),
        people=people.persons,
        groups=people.groups,
        shifts=people.shifts,
        agents=agents,
        tools=tools.tools,
        risk_groups=tools.risk_groups,
        enforcers=enforcers,
        hooks=hooks,
        rules=rules.rules,
        cases=tuple(cases),
        engine=engine,
    )
    return bundle, ()


def _check_files(files: Mapping[str, str], problems: Problems) -> None:
    for name in REQUIRED_FILES:
        if name not in files:
            problems.add(name, 1, "missing_file", f"a bundle needs {name}")
    for name, text in files.items():
        if not is_bundle_file(name):
            problems.add(name, 1, "unknown_file", "this is not a file of a bundle")
        elif len(text) > MAX_FILE:
            problems.add(name, 1, "too_large", f"a file has at most {MAX_FILE} characters")
        else:
            _check_visible(name, text, problems)


def _check_visible(name: str, text: str, problems: Problems) -> None:
    """Refuse what a reviewer cannot see: it can make one text read as another (CVE-2021-42574).

    That also leaves a line feed as the one thing that ends a line, for every reader of the file.
    """
    for number, character in unseen.in_lines(text, joiners=name == PEOPLE_FILE):
        problems.add(
            name,
            number,
            "invisible",
            f"the invisible character {unseen.code(character)} is not allowed in a bundle",
        )
