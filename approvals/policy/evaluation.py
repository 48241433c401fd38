"""Policy: a call and its circumstances against one bundle, to one of three verdicts.

The steps, numbered as in the code:

1. Agent, tool and user are registered, and the agent may serve the user.
2. The agent is within its limits and the arguments fit the tool's JSON Schema, and
3. have the Cedar types that the rules were checked against.
4. Every rule is evaluated twice over, for the agent and for the user as principal, with `approved`
   false. Both allow: `Allow`.
5. A principal that was denied is asked again with `approved` true. Still denied: `Deny`. If not,
   each rule that forbade the first time is a requirement; those of both principals add up. An
   opaque tool is never simply allowed: its owner is a requirement, whichever others there are.
6. Whoever is away at the time of the call has their place filled by their stand-in, if that is
   somebody who may approve this call.
7. Distinct people who are eligible can fill all places at once. If nobody could: `Deny`.

What holds: nothing here raises for a bad call; an evaluation error in any rule denies, because
Cedar skips a rule that fails and a skipped forbid would allow; approval can only remove the rules
that ask for it, which loading the bundle has shown; equal inputs give equal verdicts anywhere.
Requirements only add up: no rule that fires takes away what another rule or the tool asks, and what
a caller says beside the call (its task) can make a verdict stricter and never looser, which loading
the bundle has shown of every rule (`policy.bundle.monotone`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import cedarpy
import jsonschema_rs
import orjson

from approvals.core import canonical
from approvals.core.approval import fits
from approvals.core.decision.ceremony import Decision, StepUp
from approvals.core.decision.quorum import assign
from approvals.core.decision.requirement import Requirement
from approvals.core.decision.vote import Vote
from approvals.core.errors import AdmissionError
from approvals.policy import misfit
from approvals.policy.bundle.arguments import UntypableError, type_arguments
from approvals.policy.bundle.asks import DEFAULT_TTL
from approvals.policy.bundle.rules import position
from approvals.policy.shortfall import not_asked
from approvals.policy.verdict import USAGE_COUNTERS, Allow, Deny, DenyCode, Escalate, Facts, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from approvals.core.registry import Agent, Asks, Person, Rule, Tool
    from approvals.policy.bundle import Bundle
    from approvals.policy.bundle.arguments import TypedArguments

OPAQUE = "opaque"
LIMITS = "limits"
_COUNTERS = frozenset(USAGE_COUNTERS)
_LIMITED_BY = {"calls_per_day": "agent_day", "calls_per_hour": "agent_hour"}
_FAILED_RULE = re.compile(r"policy `(policy[0-9]+)`", re.ASCII)
_DAY = 86_400
_HOUR = 3_600
_EPOCH_WEEKDAY = 3  # 1970-01-01 was a Thursday, the fourth day of the ISO 8601 week


def needs_usage(bundle: Bundle) -> bool:
    """Whether any verdict of this bundle depends on the usage counters."""
    return bundle.engine.needs_usage


def recount(bundle: Bundle, facts: Facts, verdict: Verdict) -> Verdict | None:
    """The verdict with the counters of `facts`, where `verdict` was given with all of them zero.

    It is the same, or a limit of the agent denies. None where a rule of the bundle looks at the
    counters, so that only `evaluate` can tell. It costs nothing that grows with the call.
    """
    if bundle.engine.rules_use_usage:
        return None
    occasion = _occasion(bundle, facts)
    if isinstance(occasion, Deny):
        return verdict
    return _limit_fault(occasion) or verdict


def evaluate(bundle: Bundle, facts: Facts) -> Verdict:
    """The verdict of this bundle on this call in these circumstances."""
    # 1. who and what
    occasion = _occasion(bundle, facts)
    if isinstance(occasion, Deny):
        return occasion
    # 2. and 3. limits, schema, types
    contexts = _contexts(occasion)
    if isinstance(contexts, Deny):
        return contexts
    # 4. without approval
    principals = (("Agent", occasion.agent.id), ("User", occasion.person.id))
    first = _ask(occasion, principals, contexts[0])
    if isinstance(first, Deny) or all(answer.allowed for answer in first):
        return first if isinstance(first, Deny) else _allowed(occasion, first)
    # 5. with approval
    denied = [who for who, answer in zip(principals, first, strict=True) if not answer.allowed]
    second = _ask(occasion, denied, contexts[1])
    if isinstance(second, Deny):
        return second
    if all(answer.allowed for answer in second):
        return _escalated(occasion, first)
    return _refused(occasion, denied, second)


@dataclass(frozen=True, slots=True)
class _Occasion:
    """A call whose agent, tool and user are known."""

    bundle: Bundle
    facts: Facts
    agent: Agent
    tool: Tool
    person: Person

    def excluded(self) -> frozenset[str]:
        """Nobody approves what is done for themselves, or under rules that they alone made."""
        return self.facts.excluded | {self.person.id}


def _occasion(bundle: Bundle, facts: Facts) -> _Occasion | Deny:
    agent = bundle.agents.get(facts.agent)
    if agent is None:
        return _deny(DenyCode.NO_AGENT, "the agent is not registered")
    tool = bundle.tool(facts.call.target, facts.call.tool)
    if tool is None:
        return _deny(DenyCode.NO_TOOL, "no such tool is registered for this target")
    person = bundle.people.get(facts.user)
    if person is None:
        return _deny(DenyCode.NO_USER, "the user is not registered")
    if person.id not in bundle.engine.served[agent.id]:
        return _deny(DenyCode.USER_NOT_SERVED, f"{agent.id} may not act for {person.id}")
    if needs_usage(bundle) and not facts.usage.keys() >= _COUNTERS:
        return _deny(DenyCode.EVALUATION_ERROR, "a usage counter is not known")
    return _Occasion(bundle, facts, agent, tool, person)


def _deny(code: DenyCode, reason: str, rules: Iterable[str] = ()) -> Deny:
    return Deny(rules=tuple(sorted(rules)), reasons=(reason,), code=code)


def _limit_fault(occasion: _Occasion) -> Deny | None:
    agent = occasion.agent
    for limit, counter in _LIMITED_BY.items():
        allowed = agent.limits.get(limit)
        if allowed is not None and occasion.facts.usage[counter] >= allowed:
            reason = f"{agent.id} may make {allowed} {limit.replace('_', ' ')}"
            return _deny(DenyCode.FORBIDDEN, reason, (LIMITS,))
    return None


def _schema_fault(occasion: _Occasion) -> Deny | None:
    """A denial naming the first argument that the tool's schema refuses, by its JSON pointer.

    Only one error is made. A call with 100,000 wrong values has as many, and to look for the least
    of them would let an agent choose how long a denial takes.
    """
    args = occasion.facts.call.args
    validator = occasion.bundle.engine.arguments[occasion.tool.name].validator
    try:
        if validator.is_valid(args):
            return None
        # In canonical order, so that the same call has the same first error however it was written.
        validator.validate(orjson.loads(canonical.encode(args)))
    except jsonschema_rs.ValidationError as error:
        return _deny(DenyCode.ARGS_SCHEMA, misfit.told(error, args))
    except (AdmissionError, ValueError):  # not JSON at all; admission refuses it before
        return _deny(DenyCode.ARGS_SCHEMA, "the arguments are not JSON")
    return _deny(DenyCode.ARGS_SCHEMA, "the arguments do not fit the tool's schema")


def _contexts(occasion: _Occasion) -> tuple[str, str] | Deny:
    """The context as Cedar JSON, with `approved` false and true, or why there is none."""
    fault = _limit_fault(occasion) or _schema_fault(occasion)
    if fault is not None:
        return fault
    arguments = occasion.bundle.engine.arguments[occasion.tool.name]
    try:
        open_ended = _open_context(occasion, type_arguments(arguments, occasion.facts.call.args))
    except UntypableError as error:
        return _deny(DenyCode.ARGS_UNTYPED, str(error))
    except TypeError:  # orjson's, for text that is not Unicode; admission refuses it before
        return _deny(DenyCode.ARGS_UNTYPED, "an argument is not JSON")
    return f'{open_ended},"approved":false}}', f'{open_ended},"approved":true}}'


def _open_context(occasion: _Occasion, typed: TypedArguments) -> str:
    """The context but for `approved` and its closing brace."""
    agent, person, facts = occasion.agent, occasion.person, occasion.facts
    context: dict[str, object] = {
        "args": typed.args,
        "nulls": typed.nulls,
        "counts": typed.counts,
        "user": {"id": person.id, "groups": person.groups},
        "agent": {
            "id": agent.id,
            "tier": agent.tier,
            "model": agent.model,
            "purpose": agent.purpose,
            "owner": agent.owner,
        },
        "now": facts.now,
        "hour": facts.now // _HOUR % 24,
        "weekday": (facts.now // _DAY + _EPOCH_WEEKDAY) % 7 + 1,
        "usage": {counter: facts.usage.get(counter, 0) for counter in USAGE_COUNTERS},
    }
    if facts.task is not None:
        context["task"] = facts.task
    return orjson.dumps(context).decode()[:-1]


def _ask(
    occasion: _Occasion, principals: Sequence[tuple[str, str]], context: str
) -> list[cedarpy.AuthzResult] | Deny:
    """Cedar's answer for each principal, or a denial if any rule failed for any of them."""
    action = {"type": "Action", "id": occasion.tool.name}
    resource = {"type": "System", "id": occasion.tool.target}
    engine = occasion.bundle.engine
    answers = cedarpy.is_authorized_batch(
        [
            {
                "principal": {"type": kind, "id": name},
                "action": action,
                "resource": resource,
                "context": context,
            }
            for kind, name in principals
        ],
        engine.policies,
        engine.entities,
        engine.schema,
    )
    errors = [error for answer in answers for error in answer.diagnostics.errors]
    if not errors:
        return answers
    # Only the rules are named: Cedar's sentence repeats the values that it failed on.
    failed = {
        engine.rule_names[position(name)]
        for error in errors
        for name in _FAILED_RULE.findall(error)
    }
    return _deny(DenyCode.EVALUATION_ERROR, "a rule could not be evaluated", failed)


def _rules(answer: cedarpy.AuthzResult) -> Iterable[str]:
    """The ids of the rules that gave an answer."""
    return cast("Mapping[str, str]", answer.diagnostics.id_annotations_by_reason).values()


def _allowed(occasion: _Occasion, answers: Sequence[cedarpy.AuthzResult]) -> Verdict:
    if occasion.tool.opaque:
        return _escalated(occasion, answers)
    return Allow(rules=tuple(sorted({rule for answer in answers for rule in _rules(answer)})))


def _refused(
    occasion: _Occasion,
    principals: Sequence[tuple[str, str]],
    answers: Sequence[cedarpy.AuthzResult],
) -> Deny:
    """A denial that approval cannot change."""
    rules: set[str] = set()
    reasons: set[str] = set()
    for (kind, name), answer in zip(principals, answers, strict=True):
        if answer.allowed:
            continue
        rules.update(_rules(answer))
        if not _rules(answer):
            reasons.add(f"no rule permits the {kind.lower()} {name} to call {occasion.tool.name}")
    known = occasion.bundle.rules
    reasons.update(known[rule].reason or f"the rule {rule} forbids it" for rule in rules)
    code = DenyCode.FORBIDDEN if rules else DenyCode.NOT_PERMITTED
    return Deny(rules=tuple(sorted(rules)), reasons=tuple(sorted(reasons)), code=code)


def _escalated(occasion: _Occasion, answers: Sequence[cedarpy.AuthzResult]) -> Verdict:
    """Everything that is asked: by the rules that forbade and fell away, and by the tool itself.

    A rule that fired for both principals asks once.
    """
    asking = {rule for answer in answers if not answer.allowed for rule in _rules(answer)}
    found = [occasion.bundle.rules[rule] for rule in sorted(asking)]
    asked = [(rule, rule.asks) for rule in found if rule.asks is not None]
    requirements = [_requirement(occasion, rule, asks) for rule, asks in asked]
    times = [asks.ttl for _, asks in asked]
    if occasion.tool.opaque:
        owner = _owner(occasion)
        if not any(_implies(requirement, owner) for requirement in requirements):
            requirements.append(owner)
            times.append(DEFAULT_TTL)
    requirements.sort(key=lambda requirement: requirement.rule)
    return _escalate(occasion, tuple(requirements), ttl=min(times))


def _owner(occasion: _Occasion) -> Requirement:
    """What rules could not look into is decided by the tool's owner, whatever they permit or ask.

    It is added to what they ask and replaced by none of it: else an argument or a task that makes a
    weaker rule ask would choose who decides.
    """
    owner = occasion.tool.owner
    eligible, stand_ins = _present(occasion, occasion.bundle.members(owner), occasion.excluded())
    return Requirement(
        rule=OPAQUE,
        reason="Rules cannot look into this tool's arguments, so its owner decides",
        approvers=(owner,),
        eligible=eligible,
        quorum=1,
        step_up=StepUp.PASSKEY,
        stand_ins=stand_ins,
    )


def _implies(asked: Requirement, other: Requirement) -> bool:
    """Whether a vote that fills a place of `asked` would fill one of `other`, which has one."""
    return (
        bool(asked.eligible)
        and set(asked.eligible) <= set(other.eligible)
        and asked.step_up.covers(other.step_up)
    )


def _requirement(occasion: _Occasion, rule: Rule, asks: Asks) -> Requirement:
    members = frozenset[str]().union(*map(occasion.bundle.members, asks.approvers))
    excluded = occasion.excluded()
    if asks.exclude_owner:
        excluded |= {occasion.agent.owner}
    eligible, stand_ins = _present(occasion, members, excluded)
    weak = occasion.tool.opaque and not asks.step_up.covers(StepUp.PASSKEY)
    return Requirement(
        rule=rule.id,
        reason=rule.reason or rule.id,
        approvers=asks.approvers,
        eligible=eligible,
        quorum=asks.quorum,
        step_up=StepUp.PASSKEY if weak else asks.step_up,
        escalate=asks.escalate,
        stand_ins=stand_ins,
    )


def _present(
    occasion: _Occasion, members: frozenset[str], excluded: frozenset[str]
) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    """6. Who is eligible at the time of the call, and which of them for whom, both sorted.

    Somebody excluded is nobody's stand-in and has none: the user of a call must not gain an
    approver of their own choice by being away.
    """
    eligible: set[str] = set()
    stand_ins: list[tuple[str, str]] = []
    for member in members - excluded:
        acting = occasion.bundle.acting_for(member, occasion.facts.now, never=excluded)
        if acting is None:
            continue
        eligible.add(acting)
        if acting != member:
            stand_ins.append((acting, member))
    return tuple(sorted(eligible)), tuple(sorted(stand_ins))


def _escalate(
    occasion: _Occasion, requirements: tuple[Requirement, ...], *, ttl: int
) -> Escalate | Deny:
    """7. A request, if everybody's yes would be enough."""
    rules = tuple(requirement.rule for requirement in requirements)
    everybody = sorted({who for requirement in requirements for who in requirement.eligible})
    votes = [
        Vote(approver=who, decision=Decision.APPROVE, step_up=StepUp.HARDWARE, time=0)
        for who in everybody
    ]
    if assign(requirements, votes) is None:
        reason = "too few people may approve this call for this user"
        asked = {name for requirement in requirements for name in requirement.approvers}
        members = frozenset[str]().union(*map(occasion.bundle.members, asked))
        if away := members & occasion.facts.excluded:
            reason = f"{reason}; {not_asked(away)}"
        return _deny(DenyCode.NOBODY_ELIGIBLE, reason, rules)
    if not fits(requirements):
        return _deny(
            DenyCode.TOO_MANY_ELIGIBLE,
            "more people and places than an approval can hold; name smaller groups",
            rules,
        )
    return Escalate(requirements=requirements, ttl=ttl, rules=rules)
