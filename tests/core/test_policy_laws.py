"""Policy decides the same again, and nothing that a call can contain gets around it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from approvals.core import canonical
from approvals.core.calls import ToolCall
from approvals.core.errors import Invalid
from approvals.policy import Allow, DenyCode, evaluate, record, replay
from approvals.policy.bundle import Bundle
from tests import small_bundle as small
from tests.core.verdicts import SMALL, asks, denial, requirements, verdict_on

ROOT = Path(__file__).parents[2]


# ---------------------------------------------------------------- replay


CALLS: list[dict[str, Any]] = [
    {},
    {"amount": "500.00"},
    {"amount": "x"},
    {"memo": None},
    {"memo": "\u202egpj.exe"},
]


@pytest.mark.parametrize("args", CALLS)
def test_a_record_is_enough_to_decide_again(args: dict[str, Any]) -> None:
    facts = small.facts(args, excluded=frozenset({"dan", "ada"}), task="t")
    kept = record(SMALL, facts, evaluate(SMALL, facts))
    again = canonical.parse(canonical.encode(kept))
    assert replay(Bundle.load(small.files()), again)


def test_replay_notices_another_verdict_another_fact_and_another_bundle() -> None:
    facts = small.facts({"amount": "500.00"})
    kept = record(SMALL, facts, evaluate(SMALL, facts))
    text = canonical.encode(kept).decode()
    changes = [
        ('"quorum":2', '"quorum":1'),
        ('"eligible":["ada","cleo"]', '"eligible":["ada","ben","cleo"]'),
        ('"amount":"500.00"', '"amount":"499.00"'),
        ('"user":"ben"', '"user":"cleo"'),
        ('"ttl":900', '"ttl":901'),
        (f'"bundle":"{SMALL.version}"', f'"bundle":"{"A" * 43}"'),
    ]
    for old, new in changes:
        assert old in text
        assert not replay(SMALL, canonical.parse(text.replace(old, new).encode())), old
    other = small.load(people=small.PEOPLE + "# reviewed again\n")
    assert not replay(other, kept)


def test_replay_takes_nothing_that_is_not_a_record() -> None:
    facts = small.facts()
    kept = record(SMALL, facts, evaluate(SMALL, facts))
    broken: list[Any] = [None, [], {}, {**kept, "typ": "x"}, {**kept, "more": 1}]
    broken += [{k: v for k, v in kept.items() if k != name} for name in kept]
    told: Any = kept["facts"]
    broken += [{**kept, "facts": {**told, "usage": {"agent_day": "1"}}}]
    broken += [{**kept, "facts": {**told, "now": True}}]
    for value in broken:
        with pytest.raises(Invalid):
            replay(SMALL, value)


def test_a_fresh_process_with_another_hash_seed_decides_the_same() -> None:
    """Sets iterate differently in every process; a verdict that showed it could not be replayed."""
    facts = small.facts({"amount": "500.00"})
    bundle = small.load(rules=small.PERMIT + small.LARGE + asks("more", "managers"))
    kept = record(bundle, facts, evaluate(bundle, facts))
    program = (
        "import sys, json\n"
        "from approvals.policy.bundle import Bundle\n"
        "from approvals.policy import evaluate, record, recorded_facts\n"
        "files, kept = json.load(sys.stdin)\n"
        "bundle = Bundle.load(files)\n"
        "facts = recorded_facts(kept)\n"
        "sys.stdout.write(json.dumps(record(bundle, facts, evaluate(bundle, facts))))\n"
    )
    given_files = json.dumps([dict(bundle.files), kept])
    for seed in ("1", "2"):
        answer = subprocess.run(  # noqa: S603 - our own interpreter and program
            [sys.executable, "-c", program],
            input=given_files,
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
        )
        assert json.loads(answer.stdout) == kept


# ---------------------------------------------------------------- laws

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=200)
@given(st.dictionaries(st.sampled_from(["amount", "to", "memo", "__entity", ""]), json_values))
def test_no_arguments_whatever_make_policy_raise_or_allow_wrongly(args: dict[str, Any]) -> None:
    """A call must never take the service down, nor pass with an amount that no rule could read."""
    facts = replace(small.facts(), call=ToolCall(small.TARGET, "transfer", args))
    verdict = evaluate(SMALL, facts)
    if isinstance(verdict, Allow):
        assert args.keys() <= {"amount", "to", "memo"}
        assert float(args["amount"]) < 500


rule_kinds = st.sampled_from(["permit", "forbid", "asks"])
principals = st.sampled_from(["principal", "principal is Agent", "principal is User"])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(rule_kinds, principals, st.booleans()), max_size=6))
def test_the_verdict_is_what_the_rules_say_by_hand(rules: list[tuple[str, str, bool]]) -> None:
    """The law of three outcomes, computed once more without Cedar."""
    texts = []
    model: list[tuple[str, str, str]] = []
    for index, (kind, principal, holds) in enumerate(rules):
        head = {"permit": "permit", "forbid": "forbid", "asks": "forbid"}[kind]
        notes = '@reason("x") @approvers("finance | managers")' if kind == "asks" else ""
        falls = "unless { context.approved }" if kind == "asks" else ""
        when = f"when {{ context.now {'>' if holds else '<'} 0 }}"
        texts.append(
            f'@id("r{index}") {notes} {head} ({principal}, action, resource) {when} {falls};'
        )
        applies = [w for w in ("Agent", "User") if principal in ("principal", f"principal is {w}")]
        model.extend((kind, who, f"r{index}") for who in applies if holds)
    verdict = verdict_on("\n".join(texts))
    forbidden = {name for kind, _, name in model if kind == "forbid"}
    permitted = {who for kind, who, _ in model if kind == "permit"}
    asking = {name for kind, _, name in model if kind == "asks"}
    if forbidden:
        assert denial(verdict) is DenyCode.FORBIDDEN
        assert set(verdict.rules) == forbidden
    elif permitted != {"Agent", "User"}:
        assert denial(verdict) is DenyCode.NOT_PERMITTED
    elif len(asking) > 3:  # ada, cleo and dan are all who can approve for ben
        assert denial(verdict) is DenyCode.NOBODY_ELIGIBLE
    elif asking:
        assert set(requirements(verdict)) == asking
    else:
        assert isinstance(verdict, Allow)
