"""A reader of a bundle, a floor or a page never takes one name for another."""

from __future__ import annotations

import string
import unicodedata
from itertools import product

import pytest

from approvals.core import names
from approvals.core.calls import ToolCall
from approvals.policy import evaluate
from approvals.policy.bundle import BundleProblem, check
from approvals.policy.verdict import Deny, DenyCode
from tests import small_bundle as small

A = "\u0430"  # a Cyrillic letter

TOOL = small.TOOLS[small.TOOLS.index("  - name: transfer") :]
GATE = small.ENFORCERS.removeprefix("enforcers:\n")
HOOK = "{url: 'https://siem.example/', events: [request]}"
RULE = '@id("{}") permit (principal, action, resource);\n'


def problems(*, rules: str = small.PERMIT, **files: str) -> list[BundleProblem]:
    return check(small.files(rules=rules, **files))


def test_nothing_is_alike_in_the_bundle_that_is_changed_here() -> None:
    assert problems() == []


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("people", small.PEOPLE.replace("  dan:", "  Ada:").replace("cleo, dan", "cleo")),
        ("people", small.PEOPLE.replace("nobody:", "ADA:")),
        ("people", small.PEOPLE.replace("nobody:", "c1eo:")),
        ("people", small.PEOPLE.replace("nobody:", "rnanagers:")),
        ("agents", small.AGENTS.replace("  clerk:", "  Ben:")),
        ("tools", small.TOOLS + TOOL.replace("name: transfer", "name: Transfer")),
        ("tools", small.TOOLS.replace("  money: M", "  m0ney: N\n  mOney: M")),
        ("tools", small.TOOLS.replace("  money: M", "  Transfer: N\n  money: M")),
        ("enforcers", small.ENFORCERS + GATE.replace("gate", "Gate")),
        ("webhooks", f"hooks:\n  siem: {HOOK}\n  SIEM: {HOOK}\n"),
        ("people", small.PEOPLE.replace("name: Ben", f"name: Ad{A}")),
        ("people", small.PEOPLE.replace("name: Ben", "name: ada")),
        (
            "people",
            small.PEOPLE.replace("name: Ben", "name: Dan  Lee").replace(
                "name: Ada", "name: Dan Lee"
            ),
        ),
        ("people", small.PEOPLE.replace("name: Ben", "name: \uff21da")),
    ],
)
def test_two_names_that_can_be_taken_for_each_other_are_refused_with_both_places(
    file: str, text: str
) -> None:
    assert text not in (small.PEOPLE, small.AGENTS, small.TOOLS, small.ENFORCERS)
    found = [it for it in problems(**{file: text}) if it.code == "lookalike"]
    assert [it.file for it in found] == [f"{file}.yaml"]
    assert ".yaml:" in found[0].message


def test_two_rules_that_can_be_taken_for_each_other_are_refused() -> None:
    (problem,) = problems(rules=RULE.format("all") + RULE.format("a11"))
    assert (problem.code, problem.line) == ("lookalike", 2)
    assert "'all'" in problem.message


def test_an_agent_does_not_bear_the_id_of_a_person_or_a_group() -> None:
    for taken in ("ada", "finance"):
        (problem,) = problems(agents=small.AGENTS.replace("  clerk:", f"  {taken}:"))
        assert (problem.code, problem.line) == ("duplicate", 2)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("people", small.PEOPLE.replace("nobody:", "ada:")),
        ("tools", small.TOOLS.replace("  money: M", "  transfer: N\n  money: M")),
    ],
)
def test_things_that_are_named_in_one_place_have_ids_of_their_own(file: str, text: str) -> None:
    found = problems(**{file: text})
    assert [(it.file, it.code) for it in found] == [(f"{file}.yaml", "duplicate")]
    assert "is both" in found[0].message


@pytest.mark.parametrize("name", [f"tr{A}nsfer", "\uff54ransfer", "*", "a b", "a,b"])
def test_a_tool_is_registered_and_called_under_one_grammar(name: str) -> None:
    found = problems(tools=small.TOOLS.replace("name: transfer", f"name: '{name}'"))
    assert [it.code for it in found] == ["bad_id"]


@pytest.mark.parametrize("name", ["Transfer", "TRANSFER", "transfer_", "money"])
def test_a_call_of_a_tool_that_only_looks_registered_is_denied(name: str) -> None:
    """Would catch a name that falls to a rule which permits everything."""
    bundle = small.load(rules=small.PERMIT)
    call = ToolCall(small.TARGET, name, {"amount": "1.0", "to": "x"})
    verdict = evaluate(bundle, small.facts(call=call))
    assert isinstance(verdict, Deny)
    assert verdict.code is DenyCode.NO_TOOL


ALIKE = (
    ("Admin", "adrnin"),
    ("form/pay", "FORRN/pay"),
    ("pay-1", "PAY-l"),
    ("PAY-1", "pay-I"),
    ("PAY-L", "pay-1"),
    ("pool", "po0l"),
    ("M00N-1", "moon-I"),
    ("Ada Lund", "Ada  Lund"),
    ("Ada Lund", "ada\u00a0 Lund"),
)


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_two_differences_that_nobody_sees_are_none_either(one: str, other: str) -> None:
    """Would catch a look that ignores case, or how a letter is drawn, and not both in one name."""
    assert names.are_alike(one, other)
    assert names.are_alike(other, one)


def test_names_that_a_reader_can_tell_apart_are_not_alike() -> None:
    for one, other in (
        ("Ian", "Lan"),
        ("IAN", "LAN"),
        ("Ivy", "Lvy"),
        ("Ada Lund", "AdaLund"),
        ("a-b", "a_b"),
        ("team1", "team2"),
        ("Jose", "Jos\u00e9"),
    ):
        assert not names.are_alike(one, other), (one, other)
    for same in ("ada", "Ada Lund"):
        assert not names.are_alike(same, same)


@pytest.mark.parametrize("name", ["Νίκος Σαββίδης", "Наталья Новикова", "Ñandú"])
def test_case_is_no_difference_in_any_script(name: str) -> None:
    """Would catch a capital that is drawn as another Latin letter than its small one."""
    for other in (name.upper(), name.lower()):
        assert names.are_alike(name, other), other


def test_letters_of_other_scripts_are_paired_with_one_latin_letter_each() -> None:
    foreign = [chr(it) for it in names._LATIN]
    latin = {chr(it) for it in names._LATIN.values()}
    assert latin <= set(string.ascii_letters)
    assert all(unicodedata.name(it).split()[0] in {"GREEK", "CYRILLIC"} for it in foreign)
    assert all(names.are_alike(it, chr(names._LATIN[ord(it)])) for it in foreign)


def test_only_ascii_is_in_an_id_or_the_name_of_a_tool() -> None:
    beyond = [chr(it) for it in range(0x80, 0x3000)]
    for check_name, outside in product((names.is_id, names.is_tool), beyond):
        assert not check_name(f"a{outside}")
