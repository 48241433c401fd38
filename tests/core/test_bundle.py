"""A bundle is taken whole or refused with file, line and code."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals.core import canonical
from approvals.core.errors import BundleError
from approvals.core.jwk import KeySet
from approvals.policy.bundle import Bundle, check, is_bundle_file
from approvals.policy.cases import run_tests, unreached_rules
from tests import small_bundle as small

COMPANY = Path(__file__).parents[2] / "examples" / "company"


def company() -> dict[str, str]:
    return {
        name: path.read_text(encoding="utf-8")
        for path in COMPANY.rglob("*")
        if is_bundle_file(name := path.relative_to(COMPANY).as_posix())
    }


def test_the_example_company_is_a_bundle_and_decides_as_its_cases_say() -> None:
    bundle = Bundle.load(company())
    results = run_tests(bundle)
    assert len(results) >= 36
    assert [(r.case.file, r.case.name, r.differences) for r in results if not r.ok] == []
    # Permits whose every call is also asked about decide nothing alone; all else is reached.
    assert all(bundle.rules[rule].effect == "permit" for rule in unreached_rules(bundle))


def test_the_example_company_covers_every_risk_group_with_a_rule_that_asks() -> None:
    bundle = Bundle.load(company())
    covered = set()
    for result in run_tests(bundle):
        tool = bundle.tool(result.case.target, result.case.tool)
        if result.case.outcome == "escalate" and tool is not None:
            covered |= set(tool.groups)
    assert covered == bundle.risk_groups.keys() - {"reading"}


def test_the_version_is_the_digest_of_names_and_texts_and_nothing_else() -> None:
    files = small.files()
    backwards = dict(reversed(files.items()))
    assert (
        Bundle.load(files).version
        == Bundle.load(backwards).version
        == canonical.digest(dict(files))
    )
    commented = {**files, "people.yaml": files["people.yaml"] + "# seen by a reviewer\n"}
    assert Bundle.load(commented).version != Bundle.load(files).version


def test_lookup_is_exact() -> None:
    bundle = small.load()
    assert bundle.tool(small.TARGET, "transfer") is bundle.tools["transfer"]
    assert bundle.tool(small.TARGET + "/", "transfer") is None
    assert bundle.tool(small.TARGET, "Transfer") is None
    assert bundle.members("finance") == {"ada", "ben", "cleo"}
    assert bundle.members("ada") == {"ada"}
    assert bundle.members("unknown") == bundle.members("nobody") == frozenset()
    assert bundle.people["cleo"].groups == ("finance", "managers")


def test_enforcer_keys_are_ready_for_a_key_set() -> None:
    (key,) = small.load().enforcers["gate"].keys
    assert KeySet.from_jwks({"keys": [dict(key)]}).get(str(key["kid"])) is not None


TRANSFER: dict[str, Any] = {
    "name": "transfer",
    "target": small.TARGET,
    "title": "Transfer",
    "groups": ["money"],
    "owner": "dan",
    "opaque": False,
    "schema": {
        "type": "object",
        "additionalProperties": False,
        "required": ["amount", "to"],
        "properties": {"amount": {"type": "string"}, "to": {"type": "string"}},
    },
    "display": [{"path": "/to", "label": "To", "kind": "text", "summary": False}],
    "definition_digest": "sha256:1",
}
# Every member of a tool's entry, and of one of its displayed fields, as something else.
REDEFINED: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"name": "transfer2"}, {}),
    ({"target": "https://other.example"}, {}),
    ({"title": "Transfer money"}, {}),
    ({"groups": ["money", "abroad"]}, {}),
    ({"owner": "managers"}, {}),
    ({"opaque": True}, {}),
    ({"schema": {**TRANSFER["schema"], "required": ["to"]}}, {}),
    ({"definition_digest": "sha256:2"}, {}),
    ({}, {"path": "/amount"}),
    ({}, {"label": "Payee"}),
    ({}, {"kind": "address"}),
    ({}, {"summary": True}),
    ({}, {"kind": "money", "currency": "EUR"}),
    ({}, {"kind": "money", "currency_path": "/amount"}),
]


def tools_file(tool: dict[str, Any], **shown: Any) -> str:
    """A tools.yaml of this tool, its field displayed so."""
    (line,) = tool["display"]
    changed = {**tool, "display": [{**line, **shown}]}
    risks = {"money": "Moving money", "abroad": "Abroad"}
    return json.dumps({"risk_groups": risks, "tools": [changed]})


@pytest.mark.parametrize(("tool", "shown"), REDEFINED)
def test_whatever_of_a_tools_entry_changes_it_is_another_tool(
    tool: dict[str, Any], shown: dict[str, Any]
) -> None:
    enforcers = small.ENFORCERS.replace("example]", "example, https://other.example]")
    (first,) = small.load(
        rules=small.PERMIT, tools=tools_file(TRANSFER), enforcers=enforcers
    ).tools.values()
    bundle = small.load(
        rules=small.PERMIT, tools=tools_file({**TRANSFER, **tool}, **shown), enforcers=enforcers
    )
    (changed,) = bundle.tools.values()
    assert changed.definition != first.definition


def test_each_member_of_a_tools_entry_was_changed_above() -> None:
    def known(text: str) -> set[str]:
        (problem,) = check(small.files(rules=small.PERMIT, tools=text))
        return set(re.split("known: ", problem.message)[1].split(", "))

    members = {name for tool, _ in REDEFINED for name in tool} | {"display"}
    assert members == set(TRANSFER) == known(tools_file({**TRANSFER, "unknown": 1}))
    shown = {name for _, changes in REDEFINED for name in changes}
    assert shown == known(tools_file(TRANSFER, unknown=1))


def test_a_tools_definition_is_the_digest_of_its_entry_and_of_nothing_else() -> None:
    (tool,) = small.load(rules=small.PERMIT, tools=tools_file(TRANSFER)).tools.values()
    assert tool.definition == canonical.digest(TRANSFER)
    # Another writing of the same entry is the same entry, and other files do not matter.
    pretty = json.dumps(json.loads(tools_file(TRANSFER)), indent=1, sort_keys=True)
    (again,) = small.load(
        rules=small.PERMIT, tools=pretty, people=small.PEOPLE.replace("Ada", "Ada Lund")
    ).tools.values()
    assert again.definition == tool.definition


P, A, T, E = small.PEOPLE, small.AGENTS, small.TOOLS, small.ENFORCERS
# what is changed, from, to, then the line, the code, and a word of the message
WRONG = [
    ("people", P, "groups:", "teams: {}\ngroups:", 6, "unknown_member", "teams"),
    ("people", P, "{name: Ada}", "{name: Ada, phone: 1}", 2, "unknown_member", "phone"),
    ("people", P, "{name: Ada}", "{}", 2, "missing_member", "name"),
    ("people", P, "{name: Ada}", "{name: 7}", 2, "wrong_type", "text"),
    ("people", P, "[ada, ben, cleo]", "[ada, eve]", 7, "unknown_person", "eve"),
    ("people", P, "[ada, ben, cleo]", "[ada, ada]", 7, "duplicate", "ada"),
    ("people", P, "finance: [", "ada: [", 7, "duplicate", "both a person"),
    ("people", P, "  ada: {name: Ada}", "  'a|b': {name: Ada}", 2, "bad_id", "a|b"),
    ("people", P, "ben: {name: Ben}", "ada: {name: Ben}", 3, "duplicate_key", "second time"),
    ("people", P, "{name: Ada}", "{name: &x Ada}", 2, "alias", "anchors"),
    ("people", P, "{name: Ada}", "{name: *x}", 2, "alias", "anchors"),
    ("people", P, "{name: Ada}", "{name: !!python/name:os.system x}", 2, "tag", "tag"),
    ("people", P, "{name: Ada}", "{name: Ada", 3, "yaml", "not YAML"),
    ("people", P, "{name: Ada}", "{name: }", 2, "yaml", "missing"),
    ("people", P, "{name: Ada}", "{[a]: Ada}", 2, "yaml", "key"),
    ("people", P, "{name: Ada}", "{name: A\u202eda}", 2, "invisible", "U+202E"),
    ("people", P, "{name: Ada}", "{name: A\u200bda}", 2, "invisible", "U+200B"),
    ("people", P, "{name: Ada}", "{name: A\x00da}", 2, "invisible", "U+0000"),
    ("people", P, "{name: Ada}", "{name: Ada, slack: U01}", None, None, None),
    ("people", P, "nobody: []", "nobody: []\n---\nx: 1", 10, "yaml", "document"),
    ("agents", A, "owner: ada", "owner: eve", 3, "unknown_person", "eve"),
    ("agents", A, "[finance, dan]", "[finance, eve]", 7, "unknown_person", "eve"),
    ("agents", A, "tier: 2", "tier: 5", 6, "bad_value", "1 to 4"),
    ("agents", A, "tier: 2", "tier: true", 6, "bad_value", "1 to 4"),
    ("agents", A, "tier: 2", "tier: 2\n    limits: {calls: 1}", 7, "unknown_member", "calls"),
    ("agents", A, "    tier: 2\n", "", 2, "missing_member", "tier"),
    ("tools", T, "[money]", "[monye]", 7, "unknown_group", "monye"),
    ("tools", T, "owner: dan", "owner: eve", 8, "unknown_person", "eve"),
    ("tools", T, "target: https://bank", "target: https://bonk", 5, "unknown_target", "bonk"),
    ("tools", T, "name: transfer", "name: money", 4, "duplicate", "risk group"),
    ("tools", T, "type: object", "type: objekt", 9, "bad_schema", "object"),
    ("tools", T, "to: {type: string}", "to: {type: sting}", 15, "bad_schema", "not JSON Schema"),
    ("tools", T, "to: {type: string}", "to: {pattern: '(?=a)'}", 15, "bad_schema", "look-ahead"),
    ("tools", T, "to: {type: string}", "to: {$ref: 'https://evil.example'}", 9, "bad_schema", ""),
    ("tools", T, "      additionalProperties: false\n", "", 9, "untypable", "additionalProp"),
    ("tools", T, "to: {type: string}", "to: {type: number}", 15, "untypable", "x-cedar"),
    ("tools", T, "to: {type: string}", "to: {type: object}", 15, "untypable", "/properties/to"),
    ("tools", T, "path: /amount", "path: /amuont", 18, "bad_path", "amuont"),
    ("tools", T, "path: /amount", "path: amount", 18, "bad_path", "pointer"),
    ("tools", T, "kind: money", "kind: munny", 18, "bad_value", "munny"),
    ("tools", T, ", currency: EUR", "", 18, "currency", "money needs"),
    ("tools", T, "kind: money", "kind: text", 18, "currency", "nothing else"),
    ("enforcers", E, "x: 11qY", "d: AAAA, x: 11qY", 4, "private_key", "private"),
    ("enforcers", E, "x: 11qY", "x: 11q", 4, "bad_key", ""),
    ("enforcers", E, "crv: Ed25519", "crv: X25519", 4, "bad_key", "signatures"),
    ("enforcers", E, "x: 11qY", "alg: EdDSA, x: 11qY", 4, "bad_key", "alg"),
    ("enforcers", E, "x: 11qY", "kid: mine, x: 11qY", 4, "bad_key", "thumbprint"),
    ("enforcers", E, "x: 11qY", "note: n, x: 11qY", 4, "unknown_member", "note"),
    ("enforcers", E, "[https://bank.example]", "[bank.example]", 5, "bad_target", "absolute"),
    ("enforcers", E, "targets:", "agents: [clerk, eve]\n    targets:", 5, "unknown_agent", "eve"),
    ("enforcers", E, "enforcers:\n", "enforcers: []\nx:\n", 1, "wrong_type", "ids"),
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: f"{wrong[0]}: {wrong[3]!a}")
def test_each_fault_is_named_with_file_line_and_code(
    wrong: tuple[str, str, str, str, int | None, str | None, str | None],
) -> None:
    file, text, old, new, line, code, word = wrong
    assert old in text
    files = small.files(**{file: text.replace(old, new, 1)})
    problems = check(files)
    if code is None:
        assert problems == []
        return
    found = [p for p in problems if (p.file, p.line, p.code) == (f"{file}.yaml", line, code)]
    assert found, problems
    assert any(word in p.message for p in found if word is not None)
    with pytest.raises(BundleError) as caught:
        Bundle.load(files)
    assert caught.value.problems == tuple(problems)
    assert caught.value.place == f"{problems[0].file}:{problems[0].line}"


def test_one_key_is_one_enforcer() -> None:
    twice = small.ENFORCERS + small.ENFORCERS.replace("enforcers:\n", "").replace("gate", "door")
    (problem,) = check(small.files(enforcers=twice))
    assert (problem.code, problem.line) == ("duplicate", 8)


def test_one_slack_account_is_one_person() -> None:
    both = small.PEOPLE.replace("Ada}", "Ada, slack: U01}").replace("Ben}", "Ben, slack: U01}")
    (problem,) = check(small.files(people=both))
    assert (problem.code, problem.line) == ("duplicate", 3)


def test_files_that_are_missing_or_foreign_are_named() -> None:
    files = small.files()
    del files["agents.yaml"]
    files["../people.yaml"] = files["policies/sub/rules.cedar"] = files["notes.md"] = ""
    codes = {problem.file: problem.code for problem in check(files)}
    assert codes == {
        "agents.yaml": "missing_file",
        "../people.yaml": "unknown_file",
        "notes.md": "unknown_file",
        "policies/sub/rules.cedar": "unknown_file",
    }


def test_all_faults_of_independent_files_are_told_at_once() -> None:
    files = small.files(
        agents=small.AGENTS.replace("owner: ada", "owner: eve"),
        tools=small.TOOLS.replace("owner: dan", "owner: eve"),
        rules=small.PERMIT.replace('@id("all") ', ""),
    )
    assert [problem.file for problem in check(files)] == [
        "agents.yaml",
        "policies/rules.cedar",
        "tools.yaml",
    ]


def test_depth_and_aliases_cost_nothing() -> None:
    """An alias bomb or deep nesting would exhaust memory or the stack of a recursive reader."""
    deep = "people: " + "[" * 100_000
    (problem,) = check(small.files(people=deep))
    assert (problem.code, problem.line) == ("yaml", 1)
    bomb = "a: &a [x, x]\n" + "".join(f"b{n}: [*a, *a]\n" for n in range(1000))
    (problem,) = check(small.files(people=bomb))
    assert problem.code == "alias"


def test_scalars_are_what_they_look_like() -> None:
    text = 'cases:\n  - name: n\n    agent: clerk\n    user: "ben"\n    expect: allow\n    call:\n'
    call = f"      target: {small.TARGET}\n      tool: transfer\n"
    plain = "      args: {a: no, b: 12:30, c: 0x10, d: 1.50, e: -7, f: true, g: null, h: '1'}\n"
    files = small.files() | {"tests/scalars.yaml": text + call + plain}
    (case,) = Bundle.load(files).cases
    assert case.args == {
        "a": "no",
        "b": "12:30",
        "c": "0x10",
        "d": 1.5,
        "e": -7,
        "f": True,
        "g": None,
        "h": "1",
    }
    for not_kept in ("9007199254740992", "0.99999999999999999999", "1.00000000000000000001"):
        wrong = files | {"tests/scalars.yaml": f"{text}{call}      args: {{a: {not_kept}}}\n"}
        assert [(p.line, p.code) for p in check(wrong)] == [(9, "bad_value")], not_kept


@pytest.mark.parametrize(
    ("line", "number", "code"),
    [
        ("expect: perhaps", 5, "bad_value"),
        ("expect: allow\n    code: forbidden", 6, "bad_value"),
        ("expect: deny\n    code: because", 6, "bad_value"),
        ("expect: allow\n    at: yesterday", 6, "bad_value"),
        ("expect: allow\n    at: 2026-01-01T00:00:00", 6, "bad_value"),
        ("expect: allow\n    usage: {clicks: 1}", 6, "unknown_member"),
    ],
)
def test_a_case_that_means_nothing_is_refused(line: str, number: int, code: str) -> None:
    text = f"cases:\n  - name: n\n    agent: clerk\n    user: ben\n    {line}\n    call:\n"
    text += f"      target: {small.TARGET}\n      tool: transfer\n      args: {{}}\n"
    (problem,) = check(small.files() | {"tests/x.yaml": text})
    assert (problem.file, problem.line, problem.code) == ("tests/x.yaml", number, code)


def test_a_case_that_is_not_met_says_how() -> None:
    text = f"""\
cases:
  - name: wrong in every way
    agent: clerk
    user: ben
    expect: allow
    call: {{target: {small.TARGET}, tool: transfer, args: {{amount: "500.00", to: x}}}}
    rules: [all]
    eligible: {{large: [ada]}}
"""
    (result,) = run_tests(Bundle.load(small.files() | {"tests/x.yaml": text}))
    assert not result.ok
    assert result.differences == (
        "the outcome is escalate, not allow",
        "the rules are large, not all",
        "large may be approved by ada, cleo, not ada",
    )


@given(
    st.sampled_from(["people.yaml", "agents.yaml", "tools.yaml", "enforcers.yaml"]),
    st.data(),
)
def test_no_edit_of_a_yaml_file_gets_past_the_declared_error(
    file: str, data: st.DataObject
) -> None:
    """A leaked KeyError or RecursionError would take the service down with a bad upload."""
    files = small.files()
    lines = files[file].splitlines()
    at = data.draw(st.integers(0, len(lines) - 1))
    part = data.draw(st.sampled_from(["[]", "{}", "null", "- 1", "x: [", "'", "\t", "7", ": :"]))
    words = re.split(r"(\W+)", lines[at])
    words[data.draw(st.integers(0, len(words) - 1))] = part
    lines[at] = "".join(words)
    files[file] = "\n".join(lines)
    problems = check(files)
    assert all(problem.line >= 1 and problem.code and problem.message for problem in problems)
    if problems:
        with pytest.raises(BundleError):
            Bundle.load(files)
    else:
        assert Bundle.load(files).version
