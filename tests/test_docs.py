"""The documents say what is so: snippets run, links lead somewhere, commands and settings exist."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args
from urllib.parse import unquote

import cedarpy
import pytest
import typer.main
from fastapi import FastAPI
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from approvals import api
from approvals.cli.application import FAMILIES, application
from approvals.config import Settings
from approvals.core.errors import REASONS
from approvals.core.history import leaves
from approvals.core.history.events import EVENTS, shape_of
from approvals.flow.asking import limits
from approvals.guard import CallRefused
from approvals.policy.verdict import DenyCode
from tests.company import NOW, Company

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted(
    path
    for folder in (ROOT, ROOT / "docs", ROOT / "docs" / "decisions")
    for path in folder.glob("*.md")
)


def text(path: str | Path) -> str:
    return (ROOT / path).read_text("utf-8")


def blocks(document: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", document, re.MULTILINE | re.DOTALL)


# Snippets


def test_the_readmes_guard_runs_nothing_where_nothing_is_configured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("ASSENT_URL", raising=False)
    (snippet,) = [block for block in blocks(text("README.md"), "python") if "@guarded" in block]
    namespace: dict[str, Any] = {}
    exec(snippet, namespace)  # noqa: S102 - our own README

    with pytest.raises(CallRefused) as refused:
        namespace["transfer"]("500.00", to="ACME")

    assert refused.value.reason == "configuration"


@pytest.mark.parametrize("tampered", [False, True])
def test_the_readmes_verifier_accepts_what_was_approved_and_nothing_else(
    tampered: bool,  # noqa: FBT001 - a parameter of the test
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (snippet,) = [block for block in blocks(text("README.md"), "python") if "Verifier(" in block]
    company = Company()
    token = company.token(company.approval())
    monkeypatch.setattr(time, "time", lambda: float(NOW))
    if tampered:
        snippet = snippet.replace("750.00", "7500.00")

    exec(  # noqa: S102 - our own README
        snippet, {"jwks": company.jwks, "directory": company.directory, "token": token}
    )

    said = capsys.readouterr().out
    assert said.startswith(
        "not running it: call_mismatch" if tampered else "may be spent, once: apr_"
    )


def test_every_python_snippet_is_one_of_those_that_are_run() -> None:
    for document in DOCUMENTS:
        for snippet in blocks(text(document), "python"):
            ast.parse(snippet)
            run = {"README.md", "enforcing.md"}  # the latter in test_docs_run.py, all of them
            assert document.name in run, f"not run by any test: {document.name}"
    assert len(blocks(text("README.md"), "python")) == 2


def test_the_readmes_rule_is_a_rule_that_asks_people() -> None:
    (snippet,) = blocks(text("README.md"), "cedar")
    (rule,) = json.loads(cedarpy.policies_to_json_str(snippet))["staticPolicies"].values()

    assert rule["effect"] == "forbid"
    assert rule["annotations"]["approvers"] == "finance"
    assert [condition["kind"] for condition in rule["conditions"]] == ["when", "unless"]


# Links


def anchors(document: str) -> set[str]:
    """The anchors that GitHub gives to headings."""
    headings = re.findall(r"^#+ (.+)$", document, re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", re.sub(r"[`*]", "", heading).lower()).replace(" ", "-")
        for heading in headings
    }


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(document: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text("utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = unquote(link).partition("#")
        target = (document.parent / path).resolve() if path else document
        if not target.exists() or (anchor and anchor not in anchors(target.read_text("utf-8"))):
            broken.append(link)
    assert broken == []


# Commands


def makefile_targets() -> set[str]:
    listed = subprocess.run(
        ["make", "--no-print-directory", "list"],  # noqa: S607 - the make that runs the tests
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return set(re.findall(r"^  make ([a-z]+)", listed, re.MULTILINE))


def test_make_lists_what_the_documents_promise() -> None:
    promised = {
        target
        for document in DOCUMENTS
        for block in [*blocks(text(document), ""), *re.findall(r"`([^`\n]+)`", text(document))]
        for target in re.findall(r"(?:^|\n)make ([a-z]+)", block)
    }
    assert {"demo", "test", "check", "bench", "lock"} <= promised
    assert promised <= makefile_targets()


def commands() -> dict[tuple[str, ...], set[str]]:
    """Every command of `assent` as its words, with its options."""
    found: dict[tuple[str, ...], set[str]] = {}

    def walk(command: Any, words: tuple[str, ...]) -> None:
        found[words] = {o for each in command.params for o in (*each.opts, *each.secondary_opts)}
        for name, inner in getattr(command, "commands", {}).items():
            walk(inner, (*words, name))

    for family in FAMILIES:  # a command line makes its own family alone
        walk(typer.main.get_command(application([family])), ())
    return found


def test_every_command_in_the_documents_exists_with_its_options() -> None:
    known = commands()
    seen = set()
    for document in DOCUMENTS:
        shown = [
            line
            for block in [*blocks(text(document), ""), *re.findall(r"`([^`\n]+)`", text(document))]
            for line in block.splitlines()
        ]
        for line in shown:
            found = re.match(
                r"(?:\S*\bbin/|docker compose (?:exec|run)(?: --\S+)* assent )?assent ([a-z].*)",
                line,
            )
            if found is None:
                continue
            said = found[1].split(" #")[0].split()
            words: tuple[str, ...] = ()
            while len(words) < len(said) and (*words, said[len(words)]) in known:
                words = (*words, said[len(words)])
            place = f"{document.name}: {line}"
            assert words, place
            options = {word.split("=")[0] for word in said if word.startswith("--")}
            assert options <= known[words] | {"--help", "--json"}, place
            seen.add(words)
    assert {("init",), ("serve",), ("verify",), ("log", "check"), ("people", "invite")} <= seen


# Settings


def settings_table() -> str:
    rows = ["| variable | default | range | |", "|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = field.default
        assert default is not PydanticUndefined, f"{name} has no default"
        shown = "unset" if default is None else f"`{default}`"
        rows.append(
            f"| `ASSENT_{name.upper()}` | {shown} | {bounds(field)} | {field.description} |"
        )
    return "\n".join(rows)


def bounds(field: FieldInfo) -> str:
    """The smallest and the largest value that a setting takes, as the settings page says them."""
    # Of a setting that may be unset, the limits are in the annotation and not in the field.
    of_optional = [mark for part in get_args(field.annotation) for mark in get_args(part)[1:]]
    found: dict[str, str] = {}
    for mark in [*field.metadata, *of_optional]:
        for each in mark.metadata if isinstance(mark, FieldInfo) else [mark]:
            found |= {
                name: f"{getattr(each, name):.10g}"
                for name in ("ge", "le", "min_length")
                if hasattr(each, name)
            }
    if "min_length" in found:
        return f"{found['min_length']} characters or more"
    return f"{found['ge']} to {found['le']}" if found else ""


def test_the_settings_page_is_the_settings() -> None:
    assert settings_table() in text("docs/settings.md"), settings_table()


def test_the_settings_page_has_every_variable_of_the_guard() -> None:
    source = text("approvals/guard/environment.py")
    read = set(re.findall(r'"(ASSENT_[A-Z_]+)"', source))
    assert read
    for name in read:
        assert f"`{name}`" in text("docs/settings.md"), name


# The protocol


def test_the_protocol_lists_every_reason_for_rejecting_an_approval() -> None:
    listed = re.findall(r"^\| `([a-z_]+)` \| (?:\d+|—) \|", text("docs/protocol.md"), re.MULTILINE)
    assert sorted(listed) == sorted(REASONS)


def test_the_protocol_names_every_route_of_the_api() -> None:
    """What enforcers and auditors call; pages are the service's own affair."""
    application = FastAPI()
    # Describing the routes takes the settings and nothing else of a service.
    service: Any = SimpleNamespace(settings=Settings())
    api.mount(application, service)
    described = application.openapi()["paths"]
    named = text("docs/protocol.md")
    assert len(described) > 8
    for path, methods in described.items():
        written = path.replace("{request_id}", "{id}").replace("{approval_id}", "{jti}")
        for method in methods:
            if path == "/log/tile/{path}":
                continue  # written out as C2SP does
            if written.endswith("/outcome"):
                written = "POST /v1/approvals/{jti}/outcome".removeprefix("POST ")
            assert f"`{method.upper()} {written}" in named, (method, path)


def test_the_protocol_lists_every_problem_that_the_api_can_answer_with() -> None:
    """Codes of people's pages, of channels and of an operator's commands are not part of it."""
    pages = {
        "opening.py",
        "restore.py",
        "activate.py",
        "clicks.py",
        "deliver.py",
        "enrol.py",
        "linking.py",
        "passkeys.py",
        "proof.py",
        "repair.py",
        "signin.py",
        "vote.py",
    }
    code = re.compile(r'(?:code=|problem\(\s*\d+, )"([a-z_]+)"')
    used = {
        found
        for folder in ("approvals/flow", "approvals/api")
        for path in (ROOT / folder).rglob("*.py")
        if path.name not in pages
        for found in code.findall(path.read_text("utf-8"))
    }
    listed = set(re.findall(r"`([a-z_]+)`", text("docs/protocol.md")))
    assert {"consumed", "target_not_guarded"} <= listed
    assert len(used) > 10
    assert used - listed == set()
    assert {limits.COOLING_DOWN, limits.TOO_MANY_OPEN} | set(DenyCode) <= listed


def test_the_protocol_lists_the_members_of_every_event_and_why_some_are_open() -> None:
    section = text("docs/protocol.md").partition("## 15. Events")[2].partition("## 16. ")[0]
    rows = [
        [set(re.findall(r"`([a-z_.]+)`", cell)) for cell in line.strip("|").split("|")]
        for line in section.partition("### Members")[2].splitlines()
        if line.startswith("| `")
    ]
    members = {name: row[1:] for row in rows if len(row) == 4 for name in row[0]}
    of_a_call = members["call.allowed"][2]
    members["request.opened"][2] = of_a_call | {"explanation"}
    members["request.repeated"][2] = of_a_call
    members["call.refused"][2] = of_a_call | {"code"}
    assert members.keys() == EVENTS.keys()
    shapes = {name: shape_of(kind) for name, kind in EVENTS.items()}
    for name, shape in shapes.items():
        subjects = set(EVENTS[name].ABOUT)
        assert members[name] == [subjects, shape.open.keys(), shape.sealed.keys()], name
    reasons = {name for row in rows if len(row) == 2 for name in row[0]}
    told = {name for shape in shapes.values() for name in shape.open}
    typed = section.partition("A member is a text")[2].partition("What has another member")[0]
    for name, types in ((n, t) for shape in shapes.values() for n, t in shape.members()):
        assert types == {str} or f"`{name}`" in typed, name
    assert reasons == told | leaves._OWN_MEMBERS - {"sealed"}


def test_the_protocol_says_what_every_vector_is_for() -> None:
    folder = ROOT / "tests" / "vectors"
    conformance = text("docs/protocol.md").partition("## 18. Conformance")[2]
    for path in folder.rglob("*.json"):
        name = path.relative_to(folder).as_posix()
        assert f"`{name}`" in conformance or f"`{path.parent.name}/*.json`" in conformance, name


# The threat model


def test_the_threat_model_points_at_tests_that_exist() -> None:
    pointed = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", text("docs/threat-model.md"))
    assert pointed
    for path, name in pointed:
        assert (ROOT / path).is_file(), path
        assert not name or f"def {name}(" in text(path), f"{path}::{name}"


def test_threats_are_numbered_once_and_in_order() -> None:
    numbers = [
        int(row) for row in re.findall(r"^\| (\d+) \|", text("docs/threat-model.md"), re.MULTILINE)
    ]
    assert numbers == [*range(1, len(numbers) + 1)]


def test_each_decision_has_a_number_of_its_own_and_is_listed_in_order() -> None:
    records = sorted((ROOT / "docs" / "decisions").glob("0*.md"))
    listed = re.findall(
        r"^\| \[(\d{4})\]\(([\w.-]+)\)", text("docs/decisions/README.md"), re.MULTILINE
    )
    assert listed == [(f"{number:04}", path.name) for number, path in enumerate(records, 1)]
    for path in records:
        assert path.read_text("utf-8").startswith(f"# {path.name[:4]} · "), path.name


# Architecture


def test_the_architecture_names_every_room_and_only_files_that_exist() -> None:
    page = text("docs/architecture.md")
    rooms = {
        package.parent.relative_to(ROOT / "approvals").as_posix()
        for room in ("core", "flow")
        for package in (ROOT / "approvals" / room).glob("*/__init__.py")
    } | {
        package.parent.relative_to(ROOT).as_posix()
        for package in (ROOT / "approvals").glob("*/__init__.py")
    }
    listed = set(re.findall(r"`([\w/]+)`", page.partition("## Rooms")[2].partition("## ")[0]))
    wing = {"client", "guard", "cli"}  # named in a row with their neighbours
    assert {room.removeprefix("approvals/") for room in rooms} - wing - {
        each.removeprefix("approvals/") for each in listed
    } == set()

    files = set(re.findall(r"`([\w/]+\.(?:py|js))`", page))
    there = [path.relative_to(ROOT).as_posix() for path in _tracked()]
    assert len(files) > 50
    assert [
        name for name in files if not any(f"/{path}".endswith(f"/{name}") for path in there)
    ] == []


def _tracked() -> list[Path]:
    return [
        path
        for folder in ("approvals", "web", "integrations")
        for path in (ROOT / folder).rglob("*.*")
    ]
