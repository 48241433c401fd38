"""Three outcomes, and nothing that a call can contain gets around them."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from approvals.core.calls import ToolCall
from approvals.core.decision.ceremony import StepUp
from approvals.policy import (
    USAGE_COUNTERS,
    Allow,
    Deny,
    DenyCode,
    Escalate,
    Facts,
    evaluate,
    shortfalls,
)
from tests import small_bundle as small
from tests.core.verdicts import SMALL, asks, denial, forbid, requirements, verdict_on

NOT_JSON: dict[str, Any] = {"to": b"bytes"}


# ---------------------------------------------------------------- the three outcomes


def test_below_the_threshold_it_passes_and_from_it_on_it_asks() -> None:
    assert evaluate(SMALL, small.facts({"amount": "499.9999"})) == Allow(rules=("all",))
    verdict = evaluate(SMALL, small.facts({"amount": "500.00"}))
    assert requirements(verdict) == {"large": ("ada", "cleo")}
    assert verdict.rules == ("large",)


@pytest.mark.parametrize("permits", [*product([False, True], repeat=2)])
def test_agent_and_user_must_both_be_permitted(permits: tuple[bool, bool]) -> None:
    """With an OR an agent could do for one user what that user may not, or the reverse."""
    texts = [
        '@id("a") permit (principal is Agent, action, resource);\n',
        '@id("u") permit (principal is User, action, resource);\n',
    ]
    rules = "".join(text for text, wanted in zip(texts, permits, strict=True) if wanted)
    verdict = verdict_on(rules)
    if all(permits):
        assert verdict == Allow(rules=("a", "u"))
    else:
        assert denial(verdict) is DenyCode.NOT_PERMITTED
        assert isinstance(verdict, Deny)
        assert len(verdict.reasons) == permits.count(False)


def test_requirements_of_agent_and_user_add_up_and_one_rule_is_one_requirement() -> None:
    of_agent = asks("for-agent", "ada").replace("principal,", "principal is Agent,")
    of_user = asks("for-user", "cleo").replace("principal,", "principal is User,")
    verdict = verdict_on(small.PERMIT + of_agent + of_user + asks("for-both", "managers"))
    assert requirements(verdict) == {
        "for-agent": ("ada",),
        "for-both": ("cleo", "dan"),
        "for-user": ("cleo",),
    }


def test_a_forbid_of_either_principal_stands_whatever_is_approved() -> None:
    rules = small.PERMIT + asks("ask", "finance")
    for principal in ("principal is Agent", 'principal == User::"ben"'):
        never = forbid("never", "true").replace("principal,", f"{principal},")
        verdict = verdict_on(rules + never)
        assert isinstance(verdict, Deny)
        assert (verdict.code, verdict.rules) == (DenyCode.FORBIDDEN, ("never",))


def test_approval_does_not_permit() -> None:
    """A rule that asks takes nothing away from the need for a permit."""
    verdict = verdict_on(asks("ask", "finance"))
    assert denial(verdict) is DenyCode.NOT_PERMITTED
    assert verdict.rules == ()


def test_a_broad_permit_cannot_switch_an_approval_off() -> None:
    assert requirements(verdict_on(small.PERMIT + asks("ask", "ada"))) == {"ask": ("ada",)}


def test_the_shortest_time_to_live_counts() -> None:
    rules = (
        small.PERMIT + asks("a", "ada", more='@ttl("2h")') + asks("b", "cleo", more='@ttl("5m")')
    )
    verdict = verdict_on(rules)
    assert isinstance(verdict, Escalate)
    assert verdict.ttl == 300


def test_forbidding_rules_say_why() -> None:
    rules = small.PERMIT + '@reason("Not today")\n' + forbid("a", "true") + forbid("b", "true")
    assert verdict_on(rules) == Deny(
        rules=("a", "b"), reasons=("Not today", "the rule b forbids it"), code=DenyCode.FORBIDDEN
    )


# ---------------------------------------------------------------- who may approve


def test_nobody_approves_for_themselves_and_an_owner_only_where_the_rule_allows() -> None:
    rules = small.PERMIT + asks("r", "finance")
    assert requirements(verdict_on(rules, small.facts(user="cleo"))) == {"r": ("ada", "ben")}
    excluding = small.PERMIT + asks("r", "finance", more='@exclude("owner")')
    assert requirements(verdict_on(excluding, small.facts(user="cleo"))) == {"r": ("ben",)}


def test_whoever_is_excluded_by_the_facts_approves_nothing() -> None:
    facts = small.facts(excluded=frozenset({"ada"}))
    assert requirements(verdict_on(small.PERMIT + asks("r", "finance"), facts)) == {"r": ("cleo",)}


def test_a_requirement_that_nobody_can_fill_is_a_denial() -> None:
    """Otherwise the call would wait for an answer that cannot come."""
    rules = small.PERMIT + asks("self", "ben")
    verdict = verdict_on(rules)
    assert isinstance(verdict, Deny)
    assert (verdict.code, verdict.rules) == (DenyCode.NOBODY_ELIGIBLE, ("self",))


def test_a_denial_for_want_of_people_names_who_activated_the_bundle() -> None:
    facts = replace(small.facts({"amount": "600.00", "to": "v"}), excluded=frozenset({"ben"}))
    verdict = evaluate(SMALL, replace(facts, user="cleo"))
    assert denial(verdict) is DenyCode.NOBODY_ELIGIBLE
    assert isinstance(verdict, Deny)
    told = "ben activated this bundle and is not asked under it"
    assert verdict.reasons == (f"too few people may approve this call for this user; {told}",)
    # Whom nothing asks is of no account here.
    verdict = evaluate(SMALL, replace(facts, user="cleo", excluded=frozenset({"ben", "dan"})))
    assert isinstance(verdict, Deny)
    assert verdict.reasons[0].endswith(told)


def test_what_an_activation_leaves_with_too_few_people_is_found() -> None:
    assert shortfalls(SMALL, {"ben"}) == ()
    (short,) = shortfalls(SMALL, {"ben", "cleo", "dan"})
    assert (short.of, short.left, short.quorum) == ("large", 1, 2)
    told = "ben and cleo activated this bundle and are not asked under it"
    assert short.message == f"{told}: large is left with 1 of 2 approvers"
    opaque = small.load(
        rules=small.PERMIT,
        tools=small.TOOLS.replace("title: Transfer", "title: Transfer\n    opaque: true"),
    )
    assert [each.of for each in shortfalls(opaque, {"dan"})] == ["the opaque tool transfer"]


def test_one_person_cannot_fill_the_places_of_two_requirements() -> None:
    both = small.PERMIT + asks("a", "cleo") + asks("b", "cleo")
    assert denial(verdict_on(both)) is DenyCode.NOBODY_ELIGIBLE
    enough = small.PERMIT + asks("a", "cleo") + asks("b", "cleo | dan")
    assert requirements(verdict_on(enough)) == {"a": ("cleo",), "b": ("cleo", "dan")}
    too_many = small.PERMIT + asks("a", "cleo") + asks("b", "managers", more='@quorum("2")')
    assert denial(verdict_on(too_many)) is DenyCode.NOBODY_ELIGIBLE


# ---------------------------------------------------------------- what is refused before any rule


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        (small.facts(agent="ghost"), DenyCode.NO_AGENT),
        (small.facts(user="ghost"), DenyCode.NO_USER),
        (small.facts(call=ToolCall("https://other.example", "transfer", {})), DenyCode.NO_TOOL),
        (small.facts(call=ToolCall(small.TARGET, "all", {})), DenyCode.NO_TOOL),
        (small.facts(call=ToolCall(small.TARGET, "money", {})), DenyCode.NO_TOOL),
        (small.facts({"amount": 5}), DenyCode.ARGS_SCHEMA),
        (small.facts({"amount": None}), DenyCode.ARGS_SCHEMA),
        (small.facts({"extra": 1}), DenyCode.ARGS_SCHEMA),
        (small.facts({"amount": "5.00001"}), DenyCode.ARGS_UNTYPED),
        (small.facts({"amount": "five"}), DenyCode.ARGS_UNTYPED),
        (small.facts({"to": "\ud800"}), DenyCode.ARGS_UNTYPED),
        (small.facts(NOT_JSON), DenyCode.ARGS_SCHEMA),
    ],
)
def test_what_does_not_fit_is_denied_with_its_code(facts: Facts, code: DenyCode) -> None:
    assert denial(evaluate(SMALL, facts)) is code


def test_an_agent_serves_only_its_users() -> None:
    narrow = small.AGENTS.replace("[finance, dan]", "[finance]")
    verdict = verdict_on(small.PERMIT, small.facts(user="dan"), agents=narrow)
    assert denial(verdict) is DenyCode.USER_NOT_SERVED


def test_a_schema_denial_points_at_the_argument_and_never_repeats_it() -> None:
    """Reasons travel to callers and logs, where arguments must not."""
    verdict = evaluate(SMALL, small.facts({"amount": ["canary-7f3a"]}))
    assert isinstance(verdict, Deny)
    assert verdict.reasons == ("/amount is an array, and the schema wants string",)
    untyped = evaluate(SMALL, small.facts({"amount": "canary-7f3a"}))
    assert isinstance(untyped, Deny)
    assert "canary" not in repr(untyped)


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ({"to": "v"}, "/amount is missing, and the schema requires it"),
        ({"amount": None, "to": "v"}, "/amount is null, and the schema wants string"),
        ({"amount": {}, "to": "v"}, "/amount is an object, and the schema wants string"),
        ({"amount": True, "to": "v"}, "/amount is a boolean, and the schema wants string"),
        (
            {"amount": "5", "to": "v", "memo": 1},
            "/memo is a number, and the schema wants null or string",
        ),
        (
            {"amount": "5", "to": "v", "canary": 1},
            "/: does not fit the tool's schema (additionalProperties)",
        ),
    ],
    ids=str,
)
def test_a_schema_denial_says_what_is_missing_and_which_type_is_wanted(
    args: dict[str, Any], told: str
) -> None:
    call = ToolCall(small.TARGET, "transfer", args)
    verdict = evaluate(SMALL, small.facts(call=call))
    assert isinstance(verdict, Deny)
    assert verdict.reasons == (told,)


def test_a_schema_denial_makes_one_error_however_much_is_wrong() -> None:
    """An agent chooses how many of its values are wrong, and must not choose what that costs."""
    kind = SMALL.engine.arguments["transfer"]

    class Counting:
        made = 0

        def is_valid(self, args: object) -> bool:
            return kind.validator.is_valid(args)

        def validate(self, args: object) -> None:
            self.made += 1
            kind.validator.validate(args)

    counting: Any = Counting()
    engine = replace(SMALL.engine, arguments={"transfer": replace(kind, validator=counting)})
    wrong = {f"m{number:03}": number for number in range(500)}
    verdict = evaluate(replace(SMALL, engine=engine), small.facts(wrong))
    assert denial(verdict) is DenyCode.ARGS_SCHEMA
    assert counting.made == 1  # and no other method of a validator is called


def test_the_same_call_has_the_same_first_error_however_it_was_written() -> None:
    wrong: dict[str, Any] = {"b": 1, "amount": [], "a": {"d": 1, "c": 2}}
    turned = dict(reversed(wrong.items())) | {"a": {"c": 2, "d": 1}}
    assert evaluate(SMALL, small.facts(wrong)) == evaluate(SMALL, small.facts(turned))


def test_an_error_in_any_rule_denies_and_names_the_rule_alone() -> None:
    """Cedar skips a rule that fails; a forbid that is skipped would have allowed."""
    overflow = forbid("overflow", "context.now * 9223372036854775807 > 0")
    verdict = verdict_on(small.PERMIT + overflow)
    assert verdict == Deny(
        rules=("overflow",),
        reasons=("a rule could not be evaluated",),
        code=DenyCode.EVALUATION_ERROR,
    )


# ---------------------------------------------------------------- what rules may look at


@pytest.mark.parametrize(
    "condition",
    [
        "context.user.id == 'ben' && context.user.groups.contains('finance')",
        "context.agent.id == 'clerk' && context.agent.tier == 2 && context.agent.model == 'm-1'",
        "context.agent.owner == 'ada' && context.agent.purpose == 'pays'",
        "context.now == 1767614400 && context.hour == 12 && context.weekday == 1",
        "context has task && context.task == 't-1'",
        "context.nulls.contains('/memo') && !(context.args has memo)",
        "principal in Group::'finance' || principal == Agent::'clerk'",
        "resource == System::'https://bank.example'",
        "action == Action::'transfer' && action in Action::'money'",
    ],
)
def test_the_context_holds_what_it_says(condition: str) -> None:
    facts = small.facts(
        {"memo": None},
        task="t-1",
        usage={"agent_hour": 1, "agent_day": 2, "tool_hour": 3, "tool_day": 4},
    )
    rules = small.PERMIT + forbid("r", condition.replace("'", '"'))
    refusal = Deny(("r",), ("the rule r forbids it",), DenyCode.FORBIDDEN)
    assert verdict_on(rules, facts) == refusal


@pytest.mark.parametrize("counter", USAGE_COUNTERS)
def test_each_counter_is_its_own(counter: str) -> None:
    rules = small.PERMIT + forbid("r", f"context.usage.{counter} >= 3")
    for count, refused in ((2, False), (3, True)):
        usage = {**dict.fromkeys(USAGE_COUNTERS, 2), counter: count}
        assert isinstance(verdict_on(rules, small.facts(usage=usage)), Deny) is refused


@pytest.mark.parametrize(
    ("now", "hour", "weekday"),
    [(0, 0, 4), (86_399, 23, 4), (86_400, 0, 5), (1_767_614_400 - 43_200, 0, 1), (345_599, 23, 7)],
)
def test_hour_and_weekday_are_those_of_utc(now: int, hour: int, weekday: int) -> None:
    condition = f"context.hour == {hour} && context.weekday == {weekday}"
    rules = f'@id("r") permit (principal, action, resource) when {{ {condition} }};'
    assert verdict_on(rules, small.facts(now=now)) == Allow(rules=("r",))


def test_absent_and_null_and_empty_differ() -> None:
    rules = small.PERMIT
    rules += forbid("null", 'context.nulls.contains("/memo")')
    rules += forbid("empty", 'context.args has memo && context.args.memo == ""')
    assert verdict_on(rules, small.facts()).rules == ("all",)
    assert verdict_on(rules, small.facts({"memo": None})).rules == ("null",)
    assert verdict_on(rules, small.facts({"memo": ""})).rules == ("empty",)


def test_limits_and_usage() -> None:
    agents = small.AGENTS.replace("tier: 2", "tier: 2\n    limits: {calls_per_hour: 3}")
    usage = {"agent_day": 9, "agent_hour": 2, "tool_day": 0, "tool_hour": 0}
    assert isinstance(verdict_on(small.PERMIT, small.facts(usage=usage), agents=agents), Allow)
    usage["agent_hour"] = 3
    over = verdict_on(small.PERMIT, small.facts(usage=usage), agents=agents)
    assert isinstance(over, Deny)
    assert (over.code, over.rules) == (DenyCode.FORBIDDEN, ("limits",))
    # A counter that was not counted must not read as zero.
    unknown = verdict_on(small.PERMIT, small.facts(usage={}), agents=agents)
    assert denial(unknown) is DenyCode.EVALUATION_ERROR


# ---------------------------------------------------------------- opaque tools

OPAQUE = small.TOOLS.replace("owner: dan", "owner: dan\n    opaque: true")


def test_an_opaque_tool_is_never_simply_allowed() -> None:
    verdict = verdict_on(small.PERMIT, tools=OPAQUE)
    assert isinstance(verdict, Escalate)
    (requirement,) = verdict.requirements
    assert (requirement.rule, requirement.approvers, requirement.eligible) == (
        "opaque",
        ("dan",),
        ("dan",),
    )
    assert requirement.step_up is StepUp.PASSKEY
    own = verdict_on(small.PERMIT, small.facts(user="dan"), tools=OPAQUE)
    assert denial(own) is DenyCode.NOBODY_ELIGIBLE


def test_an_opaque_tool_is_not_approved_by_a_click() -> None:
    for step_up, expected in [("session", "passkey"), ("hardware-passkey", "hardware-passkey")]:
        rules = small.PERMIT + asks("r", "ada", more=f'@step_up("{step_up}")')
        verdict = verdict_on(rules, tools=OPAQUE)
        assert isinstance(verdict, Escalate)
        asked = {r.rule: r.step_up.value for r in verdict.requirements}
        assert asked == {"opaque": "passkey", "r": expected}


@pytest.mark.parametrize(
    ("rules", "facts"),
    [
        (asks("r", "ada"), {}),
        (asks("r", "ada", more='@step_up("session")'), {}),
        (asks("r", "ada") + asks("s", "cleo"), {}),
        (asks("r", "ada", when='when { context has task && context.task == "t" }'), {"task": "t"}),
        (
            asks("r", "finance", more='@quorum("2")', when="when { context.args has memo }"),
            {"memo": "x"},
        ),
    ],
)
def test_a_rule_that_asks_adds_to_the_owner_of_an_opaque_tool(
    rules: str, facts: dict[str, Any]
) -> None:
    given = small.facts({k: v for k, v in facts.items() if k == "memo"}, task=facts.get("task"))
    verdict = verdict_on(small.PERMIT + rules, given, tools=OPAQUE)
    assert isinstance(verdict, Escalate)
    asked = {requirement.rule: requirement for requirement in verdict.requirements}
    assert asked.keys() == {"opaque", *re.findall(r'@id\("(\w)"\)', rules)}
    assert (asked["opaque"].eligible, asked["opaque"].step_up) == (("dan",), StepUp.PASSKEY)
    assert list(asked) == sorted(asked)


def test_an_owner_whom_a_rule_asks_by_a_passkey_anyway_is_asked_once() -> None:
    for more in ("", '@step_up("session")', '@step_up("hardware-passkey")'):
        verdict = verdict_on(small.PERMIT + asks("r", "dan", more=more), tools=OPAQUE)
        assert isinstance(verdict, Escalate)
        assert [(r.rule, r.eligible) for r in verdict.requirements] == [("r", ("dan",))]
        assert all(r.step_up.covers(StepUp.PASSKEY) for r in verdict.requirements)


def test_an_opaque_tool_that_is_forbidden_stays_forbidden() -> None:
    assert denial(verdict_on(forbid("no", "true") + small.PERMIT, tools=OPAQUE)) is (
        DenyCode.FORBIDDEN
    )
