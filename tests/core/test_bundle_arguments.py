"""Arguments get the Cedar types that rules were checked against, or are refused."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import cedarpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals.policy.bundle import Bundle, BundleProblem, check
from approvals.policy.bundle.arguments import UntypableError, type_arguments
from approvals.policy.bundle.shapes import cedar_type
from tests import small_bundle as small

Schema = dict[str, Any]


def files_for(
    properties: Schema, *, opaque: bool = False, definitions: Schema | None = None, **more: Any
) -> dict[str, str]:
    """The small bundle, its one tool taking these arguments."""
    more["$defs"] = definitions or {}
    schema = {"type": "object", "additionalProperties": False, "properties": properties, **more}
    head = small.TOOLS[: small.TOOLS.index("    schema:")]
    tools = f"{head}    opaque: {json.dumps(opaque)}\n    schema: {json.dumps(schema)}\n"
    return small.files(rules=small.PERMIT, tools=tools)


def bundle_for(properties: Schema, **more: Any) -> Bundle:
    return Bundle.load(files_for(properties, **more))


def problem_for(properties: Schema, **more: Any) -> BundleProblem:
    (problem,) = check(files_for(properties, **more))
    return problem


def attributes(bundle: Bundle) -> Any:
    return cedar_type(bundle.engine.arguments["transfer"].shape)["attributes"]


TYPES: list[tuple[Schema, Any]] = [
    ({"type": "integer"}, {"type": "Long"}),
    ({"type": "string", "pattern": "^a"}, {"type": "String"}),
    ({"type": "boolean"}, {"type": "Boolean"}),
    ({"type": "string", "x-cedar": "decimal"}, {"type": "Extension", "name": "decimal"}),
    ({"type": "number", "x-cedar": "decimal"}, {"type": "Extension", "name": "decimal"}),
    (
        {"type": ["integer", "string"], "x-cedar": "decimal"},
        {"type": "Extension", "name": "decimal"},
    ),
    ({"enum": ["a", "b"]}, {"type": "String"}),
    ({"const": 7}, {"type": "Long"}),
    (
        {"type": "array", "items": {"type": "integer"}},
        {"type": "Set", "element": {"type": "Long"}},
    ),
    ({"$ref": "#/$defs/word"}, {"type": "String"}),
    ({"anyOf": [{"$ref": "#/$defs/word"}]}, {"type": "String"}),
    (
        {
            "type": "object",
            "additionalProperties": False,
            "properties": {"x": {"type": "integer"}},
        },
        {"type": "Record", "attributes": {"x": {"type": "Long", "required": False}}},
    ),
]


@pytest.mark.parametrize(("schema", "cedar"), TYPES)
def test_json_schema_becomes_cedar(schema: Schema, cedar: Any) -> None:
    defs = {"word": {"type": "string"}}
    bundle = bundle_for({"a": schema, "b": schema}, required=["a"], definitions=defs)
    assert attributes(bundle) == {
        "a": {**cedar, "required": True},
        "b": {**cedar, "required": False},
    }


@pytest.mark.parametrize(
    "schema",
    [
        {"type": ["integer", "null"]},
        {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        {"oneOf": [{"type": "null"}, {"type": "integer"}]},
        {"enum": [1, None]},
        {"$ref": "#/$defs/maybe"},
    ],
)
def test_what_may_be_null_is_optional_even_if_required(schema: Schema) -> None:
    """Null never reaches a rule, so a rule that does not ask whether it is there could fail."""
    defs = {"maybe": {"type": ["integer", "null"]}}
    bundle = bundle_for({"a": schema}, required=["a"], definitions=defs)
    assert attributes(bundle) == {"a": {"type": "Long", "required": False}}
    typed = type_arguments(bundle.engine.arguments["transfer"], {"a": None})
    assert (typed.args, typed.nulls) == ({}, ["/a"])


@pytest.mark.parametrize(
    ("schema", "word"),
    [
        ({}, "not said"),
        ({"type": "number"}, "x-cedar"),
        ({"type": ["string", "integer"]}, "integer or string"),
        ({"enum": ["a", 1]}, "integer or string"),
        ({"const": None}, "not said"),
        ({"type": "string", "x-cedar": "money"}, "decimal"),
        ({"type": "boolean", "x-cedar": "decimal"}, "strings and numbers"),
        ({"type": "array"}, "items"),
        ({"type": "array", "items": {"type": ["string", "null"]}}, "null"),
        ({"type": "array", "prefixItems": [{"type": "string"}]}, "items"),
        ({"type": "object"}, "additionalProperties"),
        ({"type": "object", "additionalProperties": {"type": "string"}}, "additionalProperties"),
        (
            {"type": "object", "additionalProperties": False, "patternProperties": {"x": True}},
            "additionalProperties",
        ),
        ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, "variant"),
        ({"$ref": "#/$defs/loop"}, "refers to itself"),
        ({"$ref": "#/properties/a"}, "$defs"),
    ],
)
def test_what_has_no_cedar_type_is_refused_by_place(schema: Schema, word: str) -> None:
    defs = {"loop": {"$ref": "#/$defs/loop"}}
    problem = problem_for({"ok": {"type": "string"}, "a": schema}, definitions=defs)
    assert problem.code == "untypable"
    assert word in problem.message


@pytest.mark.parametrize("name", ["__entity", "__extn", "__expr"])
def test_a_name_that_cedar_would_evaluate_is_refused(name: str) -> None:
    """`{"__entity": …}` in Cedar's JSON is an entity: an argument could name a principal."""
    assert problem_for({name: {"type": "string"}}).code == "untypable"
    assert attributes(bundle_for({name: {"type": "string"}}, opaque=True)) == {}


def test_the_length_of_every_array_is_counted_and_nulls_are_told_by_pointer() -> None:
    strings = {"type": "array", "items": {"type": "string"}}
    inner = {
        "type": "object",
        "additionalProperties": False,
        "properties": {"cc/bcc": strings, "m~n": {"type": ["string", "null"]}},
    }
    kind = bundle_for({"to": strings, "mail": inner}).engine.arguments["transfer"]
    typed = type_arguments(kind, {"to": ["a", "a"], "mail": {"cc/bcc": ["b"], "m~n": None}})
    assert typed.counts == {"/mail/cc~1bcc": 1, "/to": 2}
    assert typed.nulls == ["/mail/m~0n"]
    assert type_arguments(kind, {}).counts == {"/mail/cc~1bcc": 0, "/to": 0}


def test_an_opaque_tool_is_typed_as_far_as_it_goes() -> None:
    bundle = bundle_for(
        {"a": {"type": "integer"}, "b": {"type": "number"}, "c": {"type": "object"}},
        opaque=True,
        required=["a", "b"],
        additionalProperties=True,
    )
    assert attributes(bundle) == {"a": {"type": "Long", "required": False}}
    args: dict[str, Any] = {"a": 1, "b": 0.5, "c": {"x": None}, "d": {"__entity": {}}}
    assert type_arguments(bundle.engine.arguments["transfer"], args).args == {"a": 1}


MONEY = bundle_for({"m": {"type": ["string", "number"], "x-cedar": "decimal"}})


def as_decimal(value: Any) -> str:
    typed = type_arguments(MONEY.engine.arguments["transfer"], {"m": value})
    extension: Any = typed.args["m"]
    assert extension["__extn"]["fn"] == "decimal"
    return str(extension["__extn"]["arg"])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("12.50", "12.50"),
        ("12", "12.0"),
        ("-0.0001", "-0.0001"),
        (7, "7.0"),
        (12.5, "12.5"),
        (0.0001, "0.0001"),
        (1e15 / 10, "100000000000000.0"),
        ("922337203685477.5807", "922337203685477.5807"),
    ],
)
def test_a_decimal_keeps_its_value(value: Any, text: str) -> None:
    assert as_decimal(value) == text


@pytest.mark.parametrize(
    "value",
    [
        *[
            "",
            "1.",
            ".5",
            "+1",
            "1e3",
            "1,5",
            " 1",
            "1.00001",
            "1 000",
            "\u0663.\u0665",
            "1.0\n",
            "-",
        ],
        *["NaN", "922337203685477.5808", "-922337203685477.5808", "9" * 400],
        *[0.00001, 1e300, 1e-7, 1.23456],
    ],
)
def test_what_a_decimal_cannot_hold_exactly_is_untypable(value: Any) -> None:
    """Rounding an amount under a threshold would be a way past it."""
    with pytest.raises(UntypableError) as caught:
        as_decimal(value)
    assert caught.value.pointer == "/m"


@given(st.decimals(min_value=-(10**12), max_value=10**12, places=4))
def test_every_decimal_that_is_typed_is_taken_by_cedar(value: Decimal) -> None:
    text = f"{value:f}"
    assert Decimal(as_decimal(text)) == value
    answer = cedarpy.is_authorized(
        {
            "principal": 'User::"a"',
            "action": 'Action::"b"',
            "resource": 'System::"c"',
            "context": {"m": {"__extn": {"fn": "decimal", "arg": as_decimal(text)}}},
        },
        f'permit (principal, action, resource) when {{ context.m == decimal("{value:.4f}") }};',
        [],
    )
    assert answer.allowed


def test_a_whole_number_written_as_a_fraction_is_the_same_number() -> None:
    kind = bundle_for({"n": {"type": "integer"}}).engine.arguments["transfer"]
    assert kind.validator.is_valid({"n": 3.0})
    typed = type_arguments(kind, {"n": 3.0}).args["n"]
    assert (typed, type(typed)) == (3, int)


@pytest.mark.parametrize("value", [True, "1", 1.5, None, [1], {"n": 1}])
def test_a_value_of_another_type_is_refused_even_if_no_schema_looked(value: Any) -> None:
    shape = bundle_for({"n": {"type": "array", "items": {"type": "integer"}}})
    with pytest.raises(UntypableError):
        type_arguments(shape.engine.arguments["transfer"], {"n": [value]})


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("^(?=a)b", "look-ahead ((?=…)"),
        ("(?!x)a", "negative look-ahead"),
        ("(?<=a)b", "look-behind"),
        ("(?<!a)b", "negative look-behind"),
        ("(?>a)", "atomic group"),
        (r"(a)\1", "back-reference"),
        (r"(?<n>a)\k<n>", "back-reference"),
        (r"[(?=]\(?=(", "not a regular expression"),
        ("[", "not a regular expression"),
        ("a{2,1}", "not a regular expression"),
    ],
)
def test_a_pattern_that_is_not_taken_is_told_why(pattern: str, said: str) -> None:
    for member in ({"pattern": pattern}, {"patternProperties": {pattern: {"type": "string"}}}):
        problem = problem_for({"s": {"type": "string", **member}})
        assert problem.code == "bad_schema"
        assert said in problem.message


def test_a_pattern_costs_linear_time_only() -> None:
    """With a backtracking matcher this argument would take longer than the universe has."""
    kind = bundle_for({"s": {"type": "string", "pattern": "^(a+)+$"}}).engine.arguments["transfer"]
    assert not kind.validator.is_valid({"s": "a" * 50_000 + "b"})
