"""`assent bundle`: nothing becomes current that is not in order, and every fault has its line."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.attesting import Maker
from tests.service import AGENTS, PEOPLE, RULES

if TYPE_CHECKING:
    from tests.cli.conftest import Shell


def test_a_bundle_in_order_is_said_to_be(assent: Shell) -> None:
    ended = assent("bundle", "check", assent.write_bundle(), "--json")
    assert ended.code == 0
    assert ended.document["ok"] is True
    assert len(ended.document["version"]) == 43


def test_every_problem_is_told_with_file_and_line(assent: Shell) -> None:
    folder = assent.write_bundle(
        people_yaml=PEOPLE.replace("[cleo]", "[nobody]"),
        agents_yaml=AGENTS.replace("owner: cleo", "owner: ghost"),
    )
    ended = assent("bundle", "check", folder, "--json")
    assert ended.code == 2
    assert ended.document["ok"] is False
    places = {(problem["file"], problem["line"]) for problem in ended.document["problems"]}
    assert (str(folder / "people.yaml"), 10) in places
    assert (str(folder / "agents.yaml"), 4) in places

    ended = assent("bundle", "check", folder)
    assert ended.code == 2
    assert f"{folder}/people.yaml:10:" in ended.err
    assert f"{folder}/agents.yaml:4:" in ended.err


def test_a_rule_that_could_fail_at_run_time_is_refused_with_its_line(assent: Shell) -> None:
    rule = "\n@id('a')\npermit (principal, action, resource)\nwhen { context.args.memo == 'x' };\n"
    folder = assent.write_bundle(policies_payments_cedar=rule.replace("'", '"'))
    ended = assent("bundle", "check", folder, "--json")
    assert ended.code == 2
    problems = ended.document["problems"]
    assert all(problem["file"].endswith("policies/payments.cedar") for problem in problems)
    assert all(problem["line"] >= 2 for problem in problems)


def test_what_is_no_bundle_is_named(assent: Shell) -> None:
    missing = assent("bundle", "check", assent.folder / "nowhere", "--json")
    assert (missing.code, missing.error["code"]) == (2, "no_bundle")
    assert missing.error["place"] == str(assent.folder / "nowhere")
    (assent.folder / "empty").mkdir()
    empty = assent("bundle", "check", assent.folder / "empty", "--json")
    assert (empty.code, empty.error["code"]) == (2, "no_bundle")


def test_a_file_that_is_not_text_is_named(assent: Shell) -> None:
    folder = assent.write_bundle()
    (folder / "people.yaml").write_bytes(b"people:\n  \xff")
    ended = assent("bundle", "check", folder, "--json")
    assert (ended.code, ended.error["code"]) == (2, "not_utf8")
    assert ended.error["place"] == str(folder / "people.yaml")


@pytest.mark.parametrize(
    "name",
    [
        "policies/year end freeze.cedar",
        "policies/x.CEDAR",
        "policies/sub/x.cedar",
        "policies/_x.cedar",
        "policies/.x.cedar",
        "policies/notes.txt",
        "policies/größe.cedar",
        "Policies/x.cedar",
        "policy/x.cedar",
        "x.cedar",
        "tests/more.yml",
        "tests/sub/more.yaml",
        "tests/More.YAML",
        "people.yml",
        "People.yaml",
        "webhook.yaml",
    ],
)
def test_what_looks_like_a_file_of_the_bundle_is_loaded_or_named(assent: Shell, name: str) -> None:
    """Would catch a forbid that is not in force because its file is not read."""
    folder = assent.write_bundle()
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text('@id("freeze") forbid (principal, action, resource);', "utf-8")
    for command in ("check", "test", "activate"):
        by = ("--by", "ops") if command == "activate" else ()
        ended = assent("bundle", command, folder, *by, "--json")
        assert ended.code == 2
        assert [(each["file"], each["code"]) for each in ended.document["problems"]] == [
            (str(folder / name), "unknown_file")
        ]


@pytest.mark.parametrize("name", ["people.yaml", "policies/more.cedar", "tests/more.yaml"])
def test_a_link_out_of_the_folder_is_refused(assent: Shell, name: str) -> None:
    folder = assent.write_bundle()
    outside = assent.folder / "outside"
    outside.write_text("cases: []\n# s3cr3t\n", "utf-8")
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(outside)
    ended = assent("bundle", "check", folder, "--json")
    assert ended.code == 2
    assert (str(folder / name), "link") in {
        (each["file"], each["code"]) for each in ended.document["problems"]
    }
    assert "s3cr3t" not in ended.out + ended.err


def test_a_folder_of_rules_that_is_a_link_is_refused(assent: Shell) -> None:
    folder = assent.write_bundle()
    (folder / "policies").rename(assent.folder / "shared")
    (folder / "policies").symlink_to(assent.folder / "shared")
    ended = assent("bundle", "check", folder, "--json")
    assert {each["code"] for each in ended.document["problems"]} == {"link"}
    (folder / "policies").unlink()
    os.mkfifo(folder / "policies")
    ended = assent("bundle", "check", folder, "--json")
    assert {each["code"] for each in ended.document["problems"]} == {"unknown_file"}


def test_a_link_within_the_folder_is_a_file_of_the_bundle(assent: Shell) -> None:
    """As Kubernetes lays a ConfigMap out."""
    folder = assent.write_bundle()
    version = assent("bundle", "check", folder, "--json").document["version"]
    (folder / "..data").mkdir()
    (folder / "people.yaml").rename(folder / "..data" / "people.yaml")
    (folder / "people.yaml").symlink_to("..data/people.yaml")
    assert assent("bundle", "check", folder, "--json").document["version"] == version


def test_what_lies_beside_a_bundle_is_named(assent: Shell) -> None:
    folder = assent.write_bundle()
    (folder / "README.md").write_text("Ours.", "utf-8")
    (folder / ".github" / "workflows").mkdir(parents=True)
    (folder / ".github" / "workflows" / "ci.yml").write_text("on: push", "utf-8")
    ended = assent("bundle", "check", folder, "--json")
    assert (ended.code, ended.document["beside"]) == (0, ["README.md"])
    assert "README.md" in assent("bundle", "check", folder).out


def test_cases_pass_and_fail(assent: Shell) -> None:
    ended = assent("bundle", "test", assent.write_bundle(), "--json")
    assert ended.code == 0
    assert [case["ok"] for case in ended.document["cases"]] == [True]
    assert ended.document["unreached_rules"]  # one case does not reach all four rules

    folder = assent.write_bundle(expected="allow")
    ended = assent("bundle", "test", folder, "--json")
    assert ended.code == 1
    (case,) = ended.document["cases"]
    assert case["ok"] is False
    assert case["place"] == f"{folder}/tests/transfers.yaml:3"
    assert "escalate" in case["differences"][0]
    assert assent("bundle", "test", folder).code == 1


def test_activating_and_showing(assent: Shell) -> None:
    assert assent("init").code == 0
    nothing = assent("bundle", "show", "--json")
    assert (nothing.code, nothing.error["code"]) == (3, "no_bundle")
    activated = assent("bundle", "activate", assent.write_bundle(), "--by", "ada", "--json")
    assert activated.code == 0
    shown = assent("bundle", "show", "--json")
    assert shown.document["version"] == activated.document["version"]
    assert "policies/payments.cedar" in shown.document["files"]
    assert assent("bundle", "show").code == 0


def test_a_bundle_that_fails_its_cases_is_not_activated(assent: Shell) -> None:
    before = assent.initialised()("bundle", "show", "--json").document["version"]
    ended = assent(
        "bundle", "activate", assent.write_bundle(expected="deny"), "--by", "ops", "--json"
    )
    assert (ended.code, ended.error["code"]) == (1, "bundle_cases")
    assert assent("bundle", "show", "--json").document["version"] == before


def test_a_broken_bundle_is_not_activated(assent: Shell) -> None:
    before = assent.initialised()("bundle", "show", "--json").document["version"]
    ended = assent(
        "bundle", "activate", assent.write_bundle(people_yaml="people: ["), "--by", "ops", "--json"
    )
    assert ended.code == 2
    assert ended.document["problems"]
    assert assent("bundle", "show", "--json").document["version"] == before


def test_an_activation_by_nobody_is_refused(assent: Shell) -> None:
    assert assent("init").code == 0
    ended = assent("bundle", "activate", assent.write_bundle(), "--by", "mallory", "--json")
    assert (ended.code, ended.error["code"]) == (2, "unknown_person")


HARDWARE = RULES.replace('@step_up("passkey")', '@step_up("hardware-passkey")', 1)


def test_a_rule_for_hardware_needs_roots_of_attestation(
    assent: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = assent.write_bundle(policies_payments_cedar=HARDWARE)
    ended = assent("bundle", "check", folder, "--json")
    assert ended.code == 2
    (problem,) = ended.document["problems"]
    assert (problem["code"], problem["line"]) == ("attestation", 5)
    roots = Maker().write_root(assent.folder / "roots")
    assert assent("bundle", "check", folder, "--attestation", roots).code == 0
    monkeypatch.setenv("ASSENT_ATTESTATION_ROOTS", str(roots))
    assert assent("bundle", "check", folder).code == 0
    (roots / "notes.txt").write_text("x")
    ended = assent("bundle", "check", folder, "--json")
    assert (ended.code, ended.error["code"]) == (2, "attestation_roots")


def test_an_activation_names_who_does_it(assent: Shell) -> None:
    folder = assent.write_bundle()
    assert assent("init").code == 0
    assert "--by" in assent("bundle", "activate", folder).err
    assert "--by" in assent("init", "--bundle", folder).err


def test_an_activation_that_leaves_too_few_approvers_says_so(assent: Shell) -> None:
    """Or the first to notice is an agent whose calls are denied."""
    folder = assent.write_bundle()
    assert assent("init", "--bundle", folder, "--by", "ada", "--json").document["warnings"] == []
    told = (
        "ada and ben activated this bundle and are not asked under it: "
        "large-transfers is left with 1 of 2 approvers"
    )
    ended = assent("bundle", "activate", folder, "--by", "ben")
    assert (ended.code, told in ended.err, "a comment is enough" in ended.err) == (0, True, True)
    ended = assent("bundle", "activate", folder, "--by", "ben", "--json")
    assert (ended.code, ended.err) == (0, "")
    assert ended.document["warnings"] == [
        {
            "of": "large-transfers",
            "left": 1,
            "quorum": 2,
            "excluded": ["ada", "ben"],
            "message": told,
        }
    ]
    folder = assent.write_bundle(policies_payments_cedar=f"// again\n{RULES}")
    assert assent("bundle", "activate", folder, "--by", "ops", "--json").document["warnings"] == []
