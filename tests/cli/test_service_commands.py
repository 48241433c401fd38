"""`assent init`, `people`, `log`, `evidence`: what an operator does beside the running service."""

from __future__ import annotations

import sqlite3
import stat
from typing import TYPE_CHECKING

import pytest

from approvals.cli import local
from approvals.config import load
from approvals.core.calls import ToolCall
from approvals.flow.acting.caller import Submission
from approvals.flow.asking.submit import submit
from approvals.log import sequence
from tests.cli.conftest import free_port
from tests.cli.test_keys_and_token import made_key
from tests.service import TARGET, Peopled, caller_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Shell


def sequenced(assent: Shell) -> None:
    """Give every event of the home its place, as the running service does."""
    with local.service(assent.home) as service:
        sequence(service.store, service.keys, now=local.now())


def change(assent: Shell, statement: str) -> None:
    with sqlite3.connect(assent.home / "assent.db") as database:
        assert database.execute(statement).rowcount > 0
    database.close()


def test_init_makes_a_private_home_and_may_be_run_again(assent: Shell) -> None:
    first = assent("init", "--json")
    assert first.code == 0
    assert stat.S_IMODE((assent.home / "keys").stat().st_mode) == 0o700
    for path in (assent.home / "keys").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = assent("init", "--bundle", assent.write_bundle(), "--by", "ops", "--json")
    assert again.code == 0
    assert again.document["log_key"] == first.document["log_key"]
    assert again.document["bundle"]
    assert "assent serve" in assent("init").out


def test_init_with_a_broken_bundle_makes_nothing(assent: Shell) -> None:
    ended = assent(
        "init", "--bundle", assent.write_bundle(agents_yaml="agents: 7"), "--by", "ops", "--json"
    )
    assert ended.code == 2
    assert ended.document["problems"]
    assert not assent.home.exists()


@pytest.mark.parametrize("command", ["init", "serve"])
def test_plain_http_is_refused_for_another_machine(assent: Shell, command: str) -> None:
    ended = assent(command, "--url", "http://assent.example", "--json")
    assert (ended.code, ended.error["code"], ended.error["place"]) == (2, "config", "ASSENT_URL")
    assert not assent.home.exists()


def test_keys_that_others_can_read_stop_everything(assent: Shell) -> None:
    assent.initialised()
    (assent.home / "keys" / "log.json").chmod(0o644)
    for command in ("init", "serve"):
        ended = assent(command, "--json")
        assert (ended.code, ended.error["code"]) == (2, "keys_permissions")
        assert ended.error["place"].endswith("log.json")


def test_a_database_that_is_away_ends_with_its_own_code(
    assent: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    assent.initialised()
    port = free_port()
    monkeypatch.setenv("ASSENT_DATABASE", f"postgresql://u:secret@127.0.0.1:{port}/none")
    for command in (
        ("init",),
        ("serve",),
        ("people", "list"),
        ("people", "invite", "ada"),
        ("log", "check"),
        ("bundle", "show"),
    ):
        ended = assent(*command, "--json")
        assert (ended.code, ended.error["code"]) == (3, "unavailable"), command
        assert "secret" not in ended.out + ended.err


def test_a_service_that_is_away_ends_with_its_own_code(assent: Shell) -> None:
    key = made_key(assent)
    url = f"http://127.0.0.1:{free_port()}"
    asking = ("--key", key, "--enforcer", "gw", "--url", url, "--json")
    ended = assent("evidence", "req_x", "--out", assent.folder / "evidence.json", *asking)
    assert (ended.code, ended.error["code"]) == (3, "service_away")
    assert not (assent.folder / "evidence.json").exists()
    assert assent("keys", "directory", *asking).code == 3


def test_what_is_no_id_is_not_sent_anywhere(assent: Shell) -> None:
    asking = ("--key", made_key(assent), "--enforcer", "gw", "--out", assent.folder / "evidence")
    ended = assent("evidence", "../../etc", *asking, "--json")
    assert (ended.code, ended.error["code"]) == (2, "not_found")
    assert ended.error["place"] == "../../etc"


def test_evidence_over_the_network_needs_an_enforcer(assent: Shell) -> None:
    asking = ("--key", made_key(assent), "--out", assent.folder / "evidence.json")
    ended = assent("evidence", "req_x", *asking, "--json")
    assert (ended.code, ended.error["code"]) == (2, "usage")
    assert ended.error["place"] == "--enforcer"


def test_people_are_invited_and_listed(assent: Shell) -> None:
    assent.initialised()
    invited = assent("people", "invite", "ada", "--json")
    assert invited.code == 0
    assert invited.document["url"].startswith("http://localhost:8420/invite/")
    assert invited.document["expires"] > local.now()
    text = assent("people", "invite", "ada").out.splitlines()
    assert text[-1].startswith("http://localhost:8420/invite/")
    assert text[-1] != invited.document["url"]
    people = assent("people", "list", "--json").document
    assert [(person["id"], person["passkeys"]) for person in people] == [
        ("ada", 0),
        ("ben", 0),
        ("cleo", 0),
        ("ops", 0),
        ("uma", 0),
    ]
    assert "Ada Okafor" in assent("people", "list").out


def test_a_lost_passkey_is_listed_ended_and_replaced_from_a_shell(assent: Shell) -> None:
    assent.initialised()
    with local.service(assent.home) as service:
        running = Peopled(service)
        running.enrol("ada")
    (listed,) = assent("people", "passkeys", "ada", "--json").document
    assert (listed["step_up"], listed["uses"], listed["unseen"]) == ("passkey", 0, 0)
    assert listed["id"] in assent("people", "passkeys", "ada").out.splitlines()
    unsaid = assent("people", "invite", "ada", "--json")
    assert (unsaid.code, unsaid.error["code"]) == (2, "passkeys")
    added = assent("people", "invite", "ada", "--add", "--json").document
    assert (added["replaces"], added["ended_passkeys"]) == (False, 0)
    ended = assent("people", "revoke", "ada", listed["id"], "--json").document
    assert (ended["ended_passkeys"], ended["ended_sessions"]) == (1, 1)
    assert assent("people", "passkeys", "ada", "--json").document == []
    again = assent("people", "revoke", "ada", listed["id"], "--json")
    assert again.error["code"] == "unknown_passkey"
    with local.service(assent.home) as service:
        Peopled(service).enrol("ada", seed="second")
    told = assent("people", "invite", "ada", "--replace").out
    assert "Ended: 1 passkey and 1 signed-in browser." in told
    assert "replaces every passkey they have" in " ".join(told.split())
    assert assent("people", "list", "--json").document[0]["passkeys"] == 0


def test_nobody_is_invited_who_is_not_in_the_bundle(assent: Shell) -> None:
    ended = assent.initialised()("people", "invite", "mallory", "--json")
    assert (ended.code, ended.error["code"]) == (2, "unknown_person")


def test_a_whole_log_is_said_to_be_whole(assent: Shell) -> None:
    assent.initialised()
    assent("people", "invite", "ada")
    assert assent("log", "check", "--json").document["staged"] > 0
    sequenced(assent)
    ended = assent("log", "check", "--json")
    assert ended.code == 0
    assert ended.document["ok"] is True
    assert ended.document["size"] == 3  # the key, the bundle, the invitation
    assert "whole" in assent("log", "check").out


def test_a_changed_leaf_is_a_finding(assent: Shell) -> None:
    assent.initialised()
    sequenced(assent)
    change(assent, "UPDATE leaf SET leaf = CAST(replace(leaf, 'activated', 'forgotten') AS BLOB)")
    ended = assent("log", "check", "--json")
    assert ended.code == 1
    assert ended.document["ok"] is False
    listed = ended.document["findings"]
    assert listed[0]["place"]
    assert "checkpoint_root" not in {each["code"] for each in listed}
    assert ended.document["following"] > 0
    told = assent("log", "check")
    assert told.code == 1
    assert listed[0]["code"] in told.out
    following = f"For that reason {ended.document['following']} of the checkpoints and tile nodes"
    assert following in " ".join(told.out.split())


def test_a_database_that_holds_another_state_than_the_log_tells_is_a_finding(
    assent: Shell,
) -> None:
    call = ToolCall(TARGET, "transfer", {"amount": "750.00", "to": "vendor@example.com"})
    with local.service(assent.initialised().home) as service:
        answer = submit(
            service,
            caller_of(service),
            Submission(call, agent="billing-agent", user="uma", body_digest="none"),
        )
    sequenced(assent)
    assert assent("log", "check").code == 0
    change(assent, "UPDATE request SET state = 'approved'")
    ended = assent("log", "check", "--json")
    assert (ended.code, ended.document["ok"]) == (1, False)
    assert [(found["code"], found["place"]) for found in ended.document["findings"]] == [
        ("row_altered", f"request {answer.id}"),
        ("row_differs", f"request {answer.id}"),
    ]


def test_a_log_restored_from_a_backup_is_found_by_a_kept_checkpoint(assent: Shell) -> None:
    assent.initialised()
    sequenced(assent)
    backup = (assent.home / "assent.db").read_bytes()
    assert not (assent.home / "assent.db-wal").exists()
    early, late = assent.folder / "early.txt", assent.folder / "late.txt"
    early.write_text(assent("log", "checkpoint").out, encoding="utf-8")
    assent("people", "invite", "ada")
    sequenced(assent)
    late.write_text(assent("log", "checkpoint").out, encoding="utf-8")
    both = ("--checkpoint", early, "--checkpoint", late)
    assert assent("log", "check", *both).code == 0

    (assent.home / "assent.db").write_bytes(backup)
    assert assent("log", "check", "--checkpoint", early).code == 0
    assert assent("log", "check", *both, "--json").code == 1


def test_a_checkpoint_file_that_is_none_is_a_finding(assent: Shell) -> None:
    assent.initialised()
    sequenced(assent)
    path = assent.folder / "note.txt"
    path.write_text("hello\n", encoding="utf-8")
    assert assent("log", "check", "--checkpoint", path).code == 1
    gone = assent("log", "check", "--checkpoint", assent.folder / "gone.txt", "--json")
    assert (gone.code, gone.error["code"]) == (2, "file")


def test_no_checkpoint_before_anything_was_logged(assent: Shell) -> None:
    assert assent("init").code == 0
    ended = assent("log", "checkpoint", "--json")
    assert (ended.code, ended.error["code"]) == (2, "not_found")


def test_the_settings_are_those_of_the_server(assent: Shell, tmp_path: Path) -> None:
    assert load().home == tmp_path / "home"
    elsewhere = tmp_path / "elsewhere"
    assert assent("init", "--home", elsewhere, "--json").document["home"] == str(elsewhere)
    assert not assent.home.exists()


def test_hostile_text_does_not_reach_the_terminal_raw(assent: Shell) -> None:
    folder = assent.folder / "no\x1b[2Jwhere"
    ended = assent("bundle", "check", folder)
    assert ended.code == 2
    assert "\x1b" not in ended.err
    assert "⟦U+001B⟧" in ended.err
