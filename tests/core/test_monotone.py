"""Nothing that a caller says beside its call takes a requirement away.

A verdict dominates another if it is a denial, or if whoever could satisfy it satisfies the other as
well: every set of votes that fills its places fills those of the other. That is what is compared
here, by trying every set of votes.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

import cedarpy
import pytest
from cedarpy import pst
from hypothesis import given, settings
from hypothesis import strategies as st

from approvals.core.decision.ceremony import Decision, StepUp
from approvals.core.decision.quorum import assign
from approvals.core.decision.vote import Vote
from approvals.policy import USAGE_COUNTERS, Allow, Deny, Escalate, Facts, evaluate
from approvals.policy.bundle import check, monotone
from tests import small_bundle as small

if TYPE_CHECKING:
    from approvals.core.canonical import Json
    from approvals.policy import Verdict

APPROVED = pst.GetAttr(pst.Var("context"), "approved")

PEOPLE = ("ada", "ben", "cleo", "dan")
BALLOTS = tuple(
    tuple(
        Vote(approver=who, decision=Decision.APPROVE, step_up=step, time=0)
        for who, step in zip(PEOPLE, steps, strict=True)
        if step is not None
    )
    for steps in product((None, StepUp.SESSION, StepUp.PASSKEY), repeat=len(PEOPLE))
)
OPAQUE = small.TOOLS.replace("owner: dan", "owner: dan\n    opaque: true")
TOOLS = st.sampled_from([small.TOOLS, OPAQUE])


def satisfies(votes: tuple[Vote, ...], verdict: Verdict) -> bool:
    match verdict:
        case Allow():
            return True
        case Deny():
            return False
        case Escalate():
            return assign(verdict.requirements, votes) is not None


def dominates(verdict: Verdict, other: Verdict) -> bool:
    return all(satisfies(votes, other) for votes in BALLOTS if satisfies(votes, verdict))


# ---------------------------------------------------------------- random bundles

ATOMS = [
    "true",
    "false",
    "context has task",
    'context has task && context.task == "a"',
    'context has task && context.task like "b*"',
    'context has task && ["a", "b"].contains(context.task)',
    "context.usage.agent_day >= 2",
    "context.usage.tool_day > context.usage.agent_hour",
    "2 > context.usage.agent_day",
    "context.usage.tool_hour <= 1",
    "context.usage.agent_day == 2",
    "context.usage.agent_day + 1 > 2",
    "context.args has memo",
    'context.args has memo && context.args.memo == "x"',
    'context.user.groups.contains("managers")',
    "principal is Agent",
    "context.hour > 11",
]
CONDITIONS = st.recursive(
    st.sampled_from(ATOMS),
    lambda inner: st.one_of(
        st.builds("({} && {})".format, inner, inner),
        st.builds("({} || {})".format, inner, inner),
        st.builds("!({})".format, inner),
        st.builds("(if {} then {} else {})".format, inner, inner, inner),
    ),
    max_leaves=4,
)
CLAUSES = st.lists(
    st.builds("{} {{ {} }}".format, st.sampled_from(["when", "unless"]), CONDITIONS), max_size=2
).map(" ".join)
ASKING = st.builds(
    '@reason("r") @approvers("{}") @step_up("{}") @quorum("{}")'.format,
    st.sampled_from(["finance", "managers", "ada | dan"]),
    st.sampled_from(["session", "passkey"]),
    st.sampled_from([1, 2]),
)


def switched(text: str) -> bool:
    """Whether the check of a bundle refuses this rule as one that a caller could switch."""
    (parsed,) = cedarpy.policies_to_pst(text).static_policies.values()
    clauses = [each for each in parsed.clauses if each.expr != APPROVED]
    return bool(monotone.faults(parsed.effect, clauses))


@st.composite
def rules(draw: st.DrawFn) -> str:
    """A few rules, of which a taken bundle has those that a caller cannot switch."""
    texts = [small.PERMIT] if draw(st.booleans()) else []
    for index in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["permit", "forbid", "ask", "ask"]))
        effect = "permit" if kind == "permit" else "forbid"
        asking = draw(ASKING) if kind == "ask" else ""
        falls = "unless { context.approved }" if kind == "ask" else ""
        text = (
            f'@id("r{index}") {asking} {effect} (principal, action, resource) '
            f"{draw(CLAUSES)} {falls};\n"
        )
        if not switched(text):
            texts.append(text)
    return "".join(texts)


ARGS: list[dict[str, Json]] = [{}, {"memo": "x"}, {"memo": None}]
TASKS = st.sampled_from([None, "a", "b", "bc", "other"])
USAGE = st.fixed_dictionaries({counter: st.integers(0, 3) for counter in USAGE_COUNTERS})


@st.composite
def statements(draw: st.DrawFn) -> tuple[Facts, Facts]:
    """The facts of a call, and the same with what a caller adds: a task, and calls before it."""
    usage = draw(USAGE)
    more = draw(USAGE)
    args = draw(st.sampled_from(ARGS))
    facts = small.facts(args, user=draw(st.sampled_from(PEOPLE)), usage=usage)
    raised = {counter: count + more[counter] for counter, count in usage.items()}
    return facts, replace(facts, task=draw(TASKS), usage=raised)


@settings(max_examples=60, deadline=None)
@given(rules(), TOOLS, statements())
def test_no_task_and_no_number_of_calls_before_takes_a_requirement_away(
    text: str, tools: str, said: tuple[Facts, Facts]
) -> None:
    bundle = small.load(rules=text, tools=tools)
    less, more = said
    verdict = evaluate(bundle, more)
    assert dominates(verdict, evaluate(bundle, less)), verdict
    if tools == OPAQUE:
        # Whatever satisfies it, the owner is among those who approved, with a passkey.
        owner = Vote(approver="dan", decision=Decision.APPROVE, step_up=StepUp.PASSKEY, time=0)
        assert all(owner in votes for votes in BALLOTS if satisfies(votes, verdict))


@settings(max_examples=40, deadline=None)
@given(rules(), rules(), TOOLS, TASKS)
def test_another_rule_that_forbids_or_asks_takes_no_requirement_away(
    text: str, more: str, tools: str, task: str | None
) -> None:
    added = [
        line.replace('@id("r', '@id("s')
        for line in more.splitlines(keepends=True)
        if " forbid " in line
    ]
    facts = small.facts(task=task)
    less = evaluate(small.load(rules=text, tools=tools), facts)
    stricter = evaluate(small.load(rules="".join((text, *added)), tools=tools), facts)
    assert dominates(stricter, less)


# ---------------------------------------------------------------- which rules are taken

FORBID = '@id("r") forbid (principal, action, resource)'
ASKS = '@reason("w") @approvers("finance") '
PERMIT = '@id("r") permit (principal, action, resource)'
TAKEN = [
    (FORBID, 'when { context has task && context.task == "x" }'),
    (FORBID, 'when { context has task } when { context.task != "x" }'),
    (FORBID, 'when { context has "task" && context["task"] like "x*" }'),
    (FORBID, "unless { !(context has task) }"),
    (FORBID, 'unless { if context has task then context.task == "x" else true }'),
    (FORBID, 'when { context.args has memo || (context has task && context.task == "x") }'),
    (FORBID, "when { context.usage.agent_day >= 3 && context.hour > 5 }"),
    (FORBID, "unless { context.usage.agent_day < 3 }"),
    (FORBID, "when { 3 <= context.usage.agent_day } unless { 3 > context.usage.tool_day }"),
    (FORBID, "when { if context.hour > 5 then context.usage.tool_day > 1 else true }"),
    (PERMIT, "when { context.usage.agent_day < 3 }"),
    (PERMIT, 'unless { context has task && context.task == "x" }'),
    (PERMIT, "when { !(context has task) }"),
]
REFUSED = [
    (FORBID, 'unless { context has task && context.task == "x" }', "task"),
    (FORBID, 'when { !(context has task && context.task == "x") }', "task"),
    (FORBID, "when { !(context has task) }", "task"),
    (FORBID, 'when { if context has task then context.task == "x" else true }', "task"),
    (FORBID, 'when { (context has task && context.task == "x") == false }', "task"),
    (FORBID, "when { true } unless { true && context has task }", "task"),
    (FORBID, "when { context.usage.agent_day < 3 }", "usage"),
    (FORBID, "when { context.usage.agent_day == 3 }", "usage"),
    (FORBID, "when { context.usage.agent_day != 0 }", "usage"),
    (FORBID, "when { context.usage.agent_day > context.usage.tool_day }", "usage"),
    (FORBID, "when { context.usage.agent_day * 2 >= 3 }", "usage"),
    (FORBID, "unless { context.usage.agent_day >= 3 }", "usage"),
    (FORBID, "when { [0, 1].contains(context.usage.agent_day) }", "usage"),
    (PERMIT, 'when { context has task && context.task == "x" }', "task"),
    (PERMIT, "unless { !(context has task) }", "task"),
    (PERMIT, "when { context.usage.agent_day >= 3 }", "usage"),
    (PERMIT, "when { context has task || context.usage.agent_day >= 3 }", "task usage"),
]


@pytest.mark.parametrize(("head", "clauses"), TAKEN)
def test_a_rule_that_a_caller_can_only_make_stricter_is_taken(head: str, clauses: str) -> None:
    assert check(small.files(rules=f"{head} {clauses};")) == []
    if head is FORBID:
        asking = f"{ASKS} {head} {clauses} unless {{ context.approved }};"
        assert check(small.files(rules=asking)) == []


@pytest.mark.parametrize(("head", "clauses", "by"), REFUSED)
def test_a_rule_that_a_caller_could_switch_is_refused_by_name(
    head: str, clauses: str, by: str
) -> None:
    written = [f"\n{head} {clauses};"]
    if head is FORBID:
        written.append(f"\n{ASKS} {head} {clauses} unless {{ context.approved }};")
    for text in written:
        problems = check(small.files(rules=text))
        assert {(each.line, each.code) for each in problems} == {(2, "caller_switch")}
        assert len(problems) == len(by.split())
        for member, problem in zip(by.split(), problems, strict=True):
            assert member in problem.message


@pytest.mark.parametrize("written", ["({} && true)", "!({})", "(if true then {} else false)"])
def test_a_long_or_deep_condition_is_followed(written: str) -> None:
    chain = " && ".join(['context has task && context.task == "x"'] * 40)
    assert check(small.files(rules=f"{FORBID} when {{ {chain} }};")) == []
    deep = "context has task"
    for _ in range(90):
        deep = written.format(deep)
    assert check(small.files(rules=f"{FORBID} when {{ {deep} }};")) == []
    (problem,) = check(small.files(rules=f"{FORBID} unless {{ {deep} }};"))
    assert problem.code == "caller_switch"
