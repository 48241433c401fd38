"""A call's name is equal exactly when the call is equal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals.core import canonical
from approvals.core.calls import MAX_TARGET, ToolCall, caid, call_hash, has_more_values
from approvals.core.errors import AdmissionError, CallError
from approvals.core.names import MAX_TOOL

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "calls.json").read_text(encoding="utf-8")
)["cases"]
TARGET = "https://payments.example"
# Not a name of a tool in any spelling: each is, or can be read as, that of another.
NO_TOOLS = (
    "tr\u0430nsfer",
    "\uff54ransfer",
    "trans\u200bfer",
    " transfer",
    "transfer\n",
    "*",
    "a,b",
)

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-canonical.MAX_INTEGER, canonical.MAX_INTEGER)
    | st.floats(-canonical.MAX_INTEGER, canonical.MAX_INTEGER)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
arguments = st.dictionaries(st.text(), values, max_size=4)


def one_kind_of_number(value: Any) -> Any:
    """Tell True from 1, which Python does not, and leave 1 and 1.0 alike, as JSON does."""
    match value:
        case bool():
            return ("bool", value)
        case dict():
            return {name: one_kind_of_number(item) for name, item in value.items()}
        case list():
            return [one_kind_of_number(item) for item in value]
        case _:
            return value


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_published_names(vector: dict[str, Any]) -> None:
    call = ToolCall(vector["target"], vector["tool"], vector["args"])
    assert call_hash(call) == vector["call_hash"]
    assert caid(call) == vector["caid"]


@given(arguments, arguments)
def test_calls_have_one_name_exactly_when_they_are_equal(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    """Would catch a change of any leaf, type or name that leaves the call hash as it was."""
    same = one_kind_of_number(one) == one_kind_of_number(other)
    hashes = {call_hash(ToolCall(TARGET, "transfer", args)) for args in (one, other)}
    assert (len(hashes) == 1) is same


@given(arguments)
def test_a_call_read_from_its_canonical_form_has_the_same_name(args: dict[str, Any]) -> None:
    call = ToolCall(TARGET, "transfer", args)
    document = json.loads(call.canonical())
    assert document.pop("action_type") == "tool.call.1"
    assert call_hash(ToolCall(**document)) == call_hash(call)


@pytest.mark.parametrize(
    "other",
    [
        ToolCall("https://payments.example/", "transfer", {"amount": 1}),
        ToolCall("HTTPS://payments.example", "transfer", {"amount": 1}),
        ToolCall(TARGET, "Transfer", {"amount": 1}),
        ToolCall(TARGET, "transfer", {"amount": "1"}),
        ToolCall(TARGET, "transfer", {"amount": True}),
        ToolCall(TARGET, "transfer", {"amount": 1, "memo": None}),
        ToolCall(TARGET, "transfer", {"amount": [1]}),
    ],
)
def test_nothing_is_normalised_into_another_call(other: ToolCall) -> None:
    assert call_hash(other) != call_hash(ToolCall(TARGET, "transfer", {"amount": 1}))


@pytest.mark.parametrize(
    ("args", "named"),
    [
        ({}, True),
        ({"a": 4000.0}, True),
        ({"a": [{"b": 1}]}, True),
        ({"a": 0.5}, False),
        ({"a": [1, {"b": -2.5}]}, False),
    ],
)
def test_a_caid_is_for_calls_without_fractions(args: dict[str, Any], *, named: bool) -> None:
    assert (caid(ToolCall(TARGET, "transfer", args)) is not None) is named


@pytest.mark.parametrize(
    "target",
    [
        "https://payments.example:8443/v1/%C3%A9?tenant=a",
        "urn:example:ledger",
        "mcp+stdio:ledger",
        "h:x",
        "https://" + "a" * (MAX_TARGET - 8),
    ],
)
def test_targets(target: str) -> None:
    assert ToolCall(target, "transfer", {}).document()["target"] == target


@pytest.mark.parametrize(
    "target",
    [
        "",
        "payments",
        "/payments",
        "//payments.example",
        "https:",
        "https://payments.example#main",
        "https://payments.example#",
        "https://payments.example/a b",
        " https://payments.example",
        "https://payments.example\n",
        "https://payments.example/é",
        "https://payments.example/%",
        "https://payments.example/%zz",
        "https://payments.example/\u202e",
        "1https://payments.example",
        "https://" + "a" * (MAX_TARGET - 7),
        7,
        None,
        ["https://payments.example"],
    ],
)
def test_other_targets_are_refused(target: Any) -> None:
    with pytest.raises(CallError) as refusal:
        ToolCall(target, "transfer", {})
    assert (refusal.value.code, refusal.value.place) == ("target", "/target")


@pytest.mark.parametrize("tool", ["", "a" * (MAX_TOOL + 1), None, 7, b"transfer", *NO_TOOLS])
def test_a_tool_has_a_name(tool: Any) -> None:
    with pytest.raises(CallError) as refusal:
        ToolCall(TARGET, tool, {})
    assert (refusal.value.code, refusal.value.place) == ("tool", "/tool")
    assert ToolCall(TARGET, "a" * MAX_TOOL, {}).tool


@pytest.mark.parametrize("args", [None, [], "{}", (("a", 1),)])
def test_arguments_are_an_object(args: Any) -> None:
    with pytest.raises(CallError) as refusal:
        ToolCall(TARGET, "transfer", args)
    assert (refusal.value.code, refusal.value.place) == ("args", "/args")


def test_arguments_that_are_not_json_have_no_name() -> None:
    args: Any = {"when": {"at": object()}}
    with pytest.raises(AdmissionError) as refusal:
        call_hash(ToolCall(TARGET, "transfer", args))
    assert (refusal.value.code, refusal.value.place) == ("not_json", "/args/when/at")


@pytest.mark.parametrize(
    ("args", "values"),
    [
        ({}, 0),
        ({"a": None}, 1),
        ({"a": [], "b": {}}, 2),
        ({"a": [1, [2, {"b": True}]], "c": "text"}, 7),
        ({"a": [[[[0]]]]}, 5),
    ],
)
def test_every_value_below_the_arguments_counts(args: Any, values: int) -> None:
    assert not has_more_values(args, values)
    assert values == 0 or has_more_values(args, values - 1)
