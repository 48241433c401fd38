"""A rule is taken if it can be shown to be safe, and refused with its line if not."""

from __future__ import annotations

import pytest

from approvals.core.decision.ceremony import StepUp
from approvals.policy import Escalate, evaluate, needs_usage
from approvals.policy.bundle import check
from tests import small_bundle as small

ASKS = '@id("r") @reason("why") @approvers("finance") '
FORBID = "forbid (principal, action, resource)"
FALLS = "\nunless { context.approved };\n"

# Lines count from the rule under test, which stands after three lines of others.
WRONG = [
    # syntax, and where
    ("permit (principal,\naction resource);", 2, "cedar_syntax", "resource"),
    (f'@id("r")\n{FORBID}\nwhen {{ 1 + }};', 3, "cedar_syntax", "}"),
    (f'@id("r") {FORBID}\nwhen {{ "open }};', 2, "cedar_syntax", "token"),
    (f'@id("r") {FORBID}\nwen {{ true }};', 2, "cedar_syntax", "wen"),
    (f'@id("r") {FORBID}', 1, "cedar_syntax", "end"),
    (f'@id("r") @id("s")\n{FORBID};', 1, "cedar_syntax", "id"),
    (f'@id("r")\n{FORBID} when {{ # }};', 2, "cedar_syntax", "token"),
    ('@id("r") permit (principal == ?principal, action, resource);', 1, "cedar_template", ""),
    # ids
    (f"{FORBID};", 1, "missing_id", "@id"),
    (f'@reason("x")\n@id("all")\n{FORBID};', 2, "duplicate", "policies/rules.cedar:1"),
    (f'@id("a b") {FORBID};', 1, "bad_id", "a b"),
    (f'@id("opaque") {FORBID};', 1, "bad_id", "opaque"),
    # what only validation shows
    (
        f'@id("r") {FORBID} when {{ context.args.nope == "x" }};',
        1,
        "cedar_validation",
        "not found",
    ),
    (f'@id("r") {FORBID} when {{ context.args.memo == "x" }};', 1, "cedar_validation", "optional"),
    (f'@id("r") {FORBID} when {{ context.task == "x" }};', 1, "caller_switch", "context has task"),
    (f'@id("r") {FORBID} when {{ context.args.amount > 5 }};', 1, "cedar_validation", ""),
    (f'@id("r") {FORBID} when {{ decimal("x") == decimal("1.0") }};', 1, "cedar_validation", ""),
    (
        '@id("r") permit (principal, action in Action::"monye", resource);',
        1,
        "cedar_validation",
        "monye",
    ),
    ('@id("r") permit (principal == Usr::"a", action, resource);', 1, "cedar_validation", "Usr"),
    # approval and its annotations belong together
    (ASKS + FORBID + ";", 1, "approval_pairing", "unless"),
    (f'@id("r") @reason("x") @ttl("5m") {FORBID};', 1, "approval_pairing", "@ttl"),
    (f'@id("r") @reason("x") {FORBID}{FALLS}', 1, "approval_pairing", "@approvers"),
    (
        '@id("r") @approvers("finance") permit (principal, action, resource);',
        1,
        "approval_pairing",
        "permit",
    ),
    (
        '@id("r") permit (principal, action, resource) unless { context.approved };',
        1,
        "approval_pairing",
        "permit",
    ),
    # approval may make a rule fall away and do nothing else
    (
        '@id("r") permit (principal, action, resource) when { context.approved };',
        1,
        "approved_elsewhere",
        "alone",
    ),
    (ASKS + FORBID + " when { !context.approved };", 1, "approved_elsewhere", "alone"),
    (
        ASKS + FORBID + " unless { context.approved && context.args.to == 'x' };".replace("'", '"'),
        1,
        "approved_elsewhere",
        "alone",
    ),
    (ASKS + FORBID + " when { context has approved }" + FALLS, 1, "approved_elsewhere", "alone"),
    (
        f'@id("r") {FORBID} when {{ (if true then context else context).approved }};',
        1,
        "whole_context",
        "member",
    ),
    (
        f'@id("r") {FORBID} when {{ {{"x": context}}.x.approved }};',
        1,
        "whole_context",
        "member",
    ),
    # annotations
    (f'@id("r")\n@aprovers("finance") {FORBID};', 2, "unknown_member", "aprovers"),
    (f'@id("r") @approvers("finance") {FORBID}{FALLS}', 1, "missing_reason", "@reason"),
    (ASKS.replace("finance", "finanse") + FORBID + FALLS, 1, "unknown_group", "finanse"),
    (ASKS.replace("finance", "nobody") + FORBID + FALLS, 1, "quorum", "0 distinct"),
    (ASKS + '\n@quorum("4") ' + FORBID + FALLS, 2, "quorum", "3 distinct"),
    (ASKS + '\n@quorum("0") ' + FORBID + FALLS, 2, "quorum", "'0'"),
    (ASKS + '\n@quorum("-1") ' + FORBID + FALLS, 2, "quorum", "'-1'"),
    (ASKS + '\n@quorum("two") ' + FORBID + FALLS, 2, "quorum", "'two'"),
    (ASKS + '\n@step_up("password") ' + FORBID + FALLS, 2, "step_up", "hardware-passkey"),
    (ASKS + '\n@ttl("15") ' + FORBID + FALLS, 2, "ttl", "15m"),
    (ASKS + '\n@ttl("0m") ' + FORBID + FALLS, 2, "ttl", "0m"),
    (ASKS + '\n@ttl("8d") ' + FORBID + FALLS, 2, "ttl", "8d"),
    (ASKS + '\n@exclude("user") ' + FORBID + FALLS, 2, "exclude", "user"),
    (ASKS + '\n@escalate("10m") ' + FORBID + FALLS, 2, "escalate", "10m"),
    (ASKS + '\n@escalate("10: cleo") ' + FORBID + FALLS, 2, "ttl", "10"),
    (ASKS + '\n@escalate("10m: eve") ' + FORBID + FALLS, 2, "unknown_group", "eve"),
    (ASKS + '\n@escalate("10m: dan") ' + FORBID + FALLS, 2, "escalate", "approvers"),
    (ASKS + '\n@ttl("5m") @escalate("5m: cleo") ' + FORBID + FALLS, 2, "escalate", "expired"),
]


@pytest.mark.parametrize(("rule", "line", "code", "word"), WRONG)
def test_an_unsafe_rule_is_refused_where_it_stands(
    rule: str, line: int, code: str, word: str
) -> None:
    before = small.PERMIT + '// a comment with ; and "quotes"\n\n'
    problems = check(small.files(rules=before + rule))
    found = [p for p in problems if (p.line, p.code) == (line + 3, code)]
    assert found, problems
    assert any(word in p.message for p in found)
    assert {p.file for p in problems} == {"policies/rules.cedar"}


def test_a_guarded_optional_argument_is_safe() -> None:
    rule = f'@id("r") {FORBID} when {{ context.args has memo && context.args.memo == "x" }};'
    assert check(small.files(rules=rule)) == []


def test_validation_errors_fall_on_the_right_file() -> None:
    bad = '@id("z") permit (principal, action, resource)\nwhen { context.args.nope };'
    files = small.files() | {"policies/a.cedar": "\n" + bad}
    (problem,) = check(files)
    assert (problem.file, problem.line) == ("policies/a.cedar", 2)


def test_the_same_id_in_two_files_is_one_too_many() -> None:
    (problem,) = check(small.files() | {"policies/z.cedar": "\n" + small.PERMIT})
    assert (problem.file, problem.line, problem.code) == ("policies/z.cedar", 2, "duplicate")


def test_what_a_rule_asks_is_read_from_its_annotations() -> None:
    rule = (
        '@id("r") @reason("why") @approvers("managers | ada|ben") @quorum("2") @ttl("2h")'
        '@step_up("hardware-passkey") @exclude("owner") @escalate("40m: dan; 10m: ben | cleo")'
    )
    bundle = small.load(rules=small.PERMIT + rule + FORBID + FALLS)
    asks = bundle.rules["r"].asks
    assert asks is not None
    assert asks.approvers == ("ada", "ben", "managers")
    assert (asks.quorum, asks.ttl, asks.exclude_owner) == (2, 7200, True)
    assert asks.step_up is StepUp.HARDWARE
    assert asks.escalate == ((600, "ben"), (600, "cleo"), (2400, "dan"))
    assert (bundle.rules["r"].file, bundle.rules["r"].line) == ("policies/rules.cedar", 2)


def test_defaults_are_one_person_a_passkey_and_a_quarter_of_an_hour() -> None:
    bundle = small.load(rules=small.PERMIT + ASKS + FORBID + FALLS)
    verdict = evaluate(bundle, small.facts())
    assert isinstance(verdict, Escalate)
    (requirement,) = verdict.requirements
    assert (requirement.quorum, requirement.step_up, verdict.ttl) == (1, StepUp.PASSKEY, 900)


def test_usage_is_needed_only_where_a_rule_or_a_limit_looks_at_it() -> None:
    assert not needs_usage(small.load())
    rule = f'@id("r") {FORBID} when {{ context.usage.tool_day > 3 }};'
    assert needs_usage(small.load(rules=small.PERMIT + rule))
    limited = small.AGENTS.replace("tier: 2", "tier: 2\n    limits: {calls_per_day: 5}")
    assert needs_usage(small.load(agents=limited))


def test_no_rules_at_all_is_a_bundle_that_permits_nothing() -> None:
    files = small.files()
    del files["policies/rules.cedar"]
    assert check(files) == []
    assert check(small.files(rules="// nothing yet\n")) == []
