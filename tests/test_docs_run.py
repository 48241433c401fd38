"""The bundle of docs/policy.md and the programs of docs/enforcing.md, run as they are written."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any

import pytest

from approvals.core import directory
from approvals.core.decision.ceremony import StepUp
from approvals.core.errors import REASONS
from approvals.core.registry import HOOK_EVENTS
from approvals.flow.operating.activate import activate
from approvals.flow.people.directory import directory as signed_directory
from approvals.guard import decorator
from approvals.policy.bundle import Bundle, FieldKind, check
from approvals.policy.bundle.asks import ASKING
from approvals.policy.bundle.cedar_schema import schema_document
from approvals.policy.cases import run_tests
from approvals.policy.verdict import USAGE_COUNTERS
from tests.api.running import TARGET, Running, served
from tests.company import public_jwk
from tests.test_docs import ROOT, blocks, text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

POLICY, ENFORCING = text("docs/policy.md"), text("docs/enforcing.md")
PROGRAMS = blocks(ENFORCING, "python")


def files() -> dict[str, str]:
    """The page's bundle: each block below a heading that is a file's name."""
    found = re.findall(r"^### `([\w./]+)`\n\n```\w+\n(.*?)^```$", POLICY, re.MULTILINE | re.DOTALL)
    return dict(found)


def test_the_pages_bundle_is_in_order_and_passes_its_cases() -> None:
    assert len(files()) == 6
    assert check(files()) == []
    results = run_tests(Bundle.load(files()))
    assert [result.differences for result in results if not result.ok] == []
    assert {result.case.outcome for result in results} == {"allow", "deny", "escalate"}


def test_the_people_and_hooks_of_the_page_fit_its_bundle() -> None:
    people, hooks = blocks(POLICY.partition("## How people are told")[2], "yaml")
    bundle = Bundle.load(files() | {"people.yaml": people, "webhooks.yaml": hooks})
    assert bundle.people["bo"].channels == ("slack", "webhook:pager")
    assert [absence.stand_in for absence in bundle.people["ada"].absences] == ["bo"]
    assert set(bundle.hooks) == {"pager"}
    assert all(f"`{name}`" in POLICY or f" {name}" in hooks for name in HOOK_EVENTS)


def named() -> set[str]:
    """Whatever the page shows as code: in a sentence, a table or a file."""
    return set(re.findall(r"[\w-]+", " ".join(re.findall(r"`([^`\n]+)`", POLICY))))


def test_every_annotation_step_up_kind_and_counter_is_on_the_page() -> None:
    annotations = {*ASKING, "id", "reason"}
    assert set(re.findall(r"^\| `@(\w+)\(", POLICY, re.MULTILINE)) == annotations
    assert {*StepUp, *FieldKind, *USAGE_COUNTERS} <= named()


def test_every_member_of_the_context_is_on_the_page() -> None:
    bundle = Bundle.load(files())
    schema: Any = schema_document(bundle.tools, bundle.engine.arguments, bundle.risk_groups)
    context = schema[""]["actions"]["transfer"]["appliesTo"]["context"]["attributes"]
    table = POLICY.partition("In its conditions, `context`:")[2].partition("\n\nThe ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(context)
    for member in ("user", "agent", "usage"):
        assert set(context[member]["attributes"]) <= named()


def test_every_member_of_every_file_is_on_the_page() -> None:
    """What a reader of a file expects is written there as literals: `expect_members(…)`."""
    expected = set()
    for module in (ROOT / "approvals/policy/bundle").glob("*.py"):
        source = module.read_text("utf-8")
        for call in re.findall(r"expect_members\((.*?)\)(?: or|:|\n)", source, re.DOTALL):
            expected |= set(re.findall(r'"(\w+)"', call))
    written = set(re.findall(r"(\w+):", "".join(blocks(POLICY, "yaml"))))
    assert {"definition_digest", "currency_path", "risk_groups"} <= expected
    assert expected - written - named() - {"crv", "kty", "x"} == set()


@pytest.fixture
def company(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    """A service with the page's bundle, its people enrolled, and the files that are pinned."""
    with served(tmp_path / "home") as running:
        key = running.keys["gateway"]
        enforcers = {"payments-gateway": {"keys": [public_jwk(key)], "targets": [TARGET]}}
        bundle = {**files(), "enforcers.yaml": json.dumps({"enforcers": enforcers})}
        activate(running.service, tenant="default", files=bundle, by="eve")
        for person in ("ada", "bo"):
            running.session(person)
        (tmp_path / "payments.key").write_text(json.dumps(key))
        (tmp_path / "payments.key").chmod(0o600)
        pinned = tmp_path / "pinned"
        pinned.mkdir()
        jwks = running.service.keys.jwks(int(time.time()))
        people = signed_directory(running.service, tenant="default")
        assert directory.verify(people, keys=jwks).person("ada") is not None
        (pinned / "jwks.json").write_text(json.dumps(jwks))
        (pinned / "people.jwt").write_text(people + "\n")
        monkeypatch.chdir(tmp_path)
        exports = "".join(re.findall(r"^export .*\n", ENFORCING, re.MULTILINE))
        for name, value in re.findall(r"(ASSENT_\w+)=(\S+)", exports):
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("ASSENT_URL", running.url)
        monkeypatch.setenv("ASSENT_WAIT", "0")
        monkeypatch.setattr(decorator, "_environment", decorator._FromEnvironment())
        yield running
        made = decorator._environment._guard
        if made is not None:
            made.client.close()


def run(program: str, company: Running, **namespace: Any) -> dict[str, Any]:
    """Run a program of the page against this service."""
    exec(program.replace("http://localhost:8420", company.url), namespace)  # noqa: S102 - our own page
    return namespace


def test_the_programs_of_the_page_do_what_it_says(
    company: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    guarded, method, context, converter, acting, by_hand = PROGRAMS

    run(guarded, company)
    parked = capsys.readouterr().out
    assert parked.startswith("ask again later; people decide at http")
    request = parked.rsplit("/", 1)[1].strip()
    for person in ("ada", "bo"):
        company.decide(person, request)

    functions = run(guarded, company)
    assert capsys.readouterr().out == "sent 750.00 to vendor@example.com\n"

    made = run(acting, company, transfer=functions["transfer"])
    made["guard"].client.close()
    assert capsys.readouterr().out == "sent 20.00 to vendor@example.com\n"

    for part in (method, context, converter):
        money = type("Money", (), {"parse": int})
        made = run(part, company, guarded=functions["guarded"], Money=money)
        assert callable(made.get("transfer") or made["Account"]().transfer)

    run(by_hand, company)
    assert capsys.readouterr().out == "run it now: transfer\n"


def test_every_reason_of_a_refusal_has_an_advice() -> None:
    table = ENFORCING.partition("| reason |")[2].partition("\n\n")[0]
    advised = set(
        re.findall(r"`(\w+)`", "\n".join(re.findall(r"^\|([^|]*)\|", table, re.MULTILINE)))
    )
    own = set()
    for module in (ROOT / "approvals/guard").glob("*.py"):
        own |= set(re.findall(r'reason="(\w+)"', module.read_text("utf-8")))
    assert {"policy", "denied", "service_away"} <= own
    assert (own | set(REASONS)) - advised == set()
