"""A guard configured by the environment alone, and where it gets the keys it verifies with."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from approvals.config import Settings
from approvals.core import canonical, jws
from approvals.core import directory as directories
from approvals.core.errors import Invalid
from approvals.guard import Guard, decorator, use
from approvals.guard.environment import _VARIABLES
from approvals.guard.newest import Newest
from approvals.verifier import Verifier
from tests.api.running import Running, served
from tests.guarding import (
    balance,
    guard,
    park,
    ran,
    refused,
    transfer,
)

FLOOR = """\
typ = "assent/floor/1"

[[tools.transfer]]
quorum = 2
groups = ["finance"]
"""

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with served(tmp_path_factory.mktemp("guard") / "home") as made:
        yield made


@pytest.fixture(autouse=True)
def _nothing_ran() -> None:
    ran.clear()


@pytest.fixture
def environment(
    company: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[pytest.MonkeyPatch]:
    (tmp_path / "key.json").write_text(json.dumps(company.keys["gateway"]))
    (tmp_path / "key.json").chmod(0o600)
    for name, value in {
        "ASSENT_URL": company.url,
        "ASSENT_ENFORCER": "gateway",
        "ASSENT_KEY_FILE": str(tmp_path / "key.json"),
        "ASSENT_AGENT": "billing-agent",
        "ASSENT_USER": "uma",
        "ASSENT_WAIT": "0",
    }.items():
        monkeypatch.setenv(name, value)
    # Each test is a fresh process in this respect.
    monkeypatch.setattr(decorator, "_environment", decorator._FromEnvironment())
    yield monkeypatch
    made = decorator._environment._guard
    if made is not None:
        made.client.close()


@pytest.mark.usefixtures("environment")
def test_the_environment_is_enough() -> None:
    assert balance() == 7
    assert balance() == 7


def test_the_directory_can_be_pinned_from_the_environment(
    company: Running, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for person in ("ada", "ben"):
        company.session(person)
    client = company.client()
    (tmp_path / "jwks.json").write_bytes(canonical.encode(client.jwks()))
    (tmp_path / "people.jwt").write_text(client.directory() + "\n")
    environment.setenv("ASSENT_JWKS_FILE", str(tmp_path / "jwks.json"))
    environment.setenv("ASSENT_PEOPLE_FILE", str(tmp_path / "people.jwt"))
    refused("basis", balance)
    request_id = park(lambda: transfer(20))
    company.approve(request_id)
    assert transfer(20) == {"moved": 20}


def test_a_floor_from_the_environment_holds_whatever_the_bundle_asks(
    company: Running, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for person in ("ada", "ben"):
        company.session(person)
    (tmp_path / "people.jwt").write_text(company.client().directory())
    (tmp_path / "floor.toml").write_text(FLOOR)
    environment.setenv("ASSENT_PEOPLE_FILE", str(tmp_path / "people.jwt"))
    environment.setenv("ASSENT_FLOOR_FILE", str(tmp_path / "floor.toml"))
    request_id = park(lambda: transfer(21))
    company.approve(request_id)
    assert transfer(21) == {"moved": 21}
    ran.clear()
    only_ada = FLOOR.replace('groups = ["finance"]', 'people = ["ada"]').replace("= 2", "= 1")
    (tmp_path / "floor.toml").write_text(only_ada.replace("transfer", '"*"'))
    decorator._environment.get().client.close()
    environment.setattr(decorator, "_environment", decorator._FromEnvironment())
    refused("floor", balance)
    decorator._environment.get().client.close()


@pytest.mark.parametrize("pinned", ["keys too", "the directory alone"])
def test_a_tool_on_which_the_floor_has_no_word_is_refused_before_anybody_is_asked(
    company: Running, environment: pytest.MonkeyPatch, tmp_path: Path, pinned: str
) -> None:
    company.session("ada")
    client = company.client()
    (tmp_path / "people.jwt").write_text(client.directory())
    (tmp_path / "jwks.json").write_bytes(canonical.encode(client.jwks()))
    (tmp_path / "floor.toml").write_text('typ = "assent/floor/1"\n[[tools.trasnfer]]\nquorum = 1\n')
    environment.setenv("ASSENT_PEOPLE_FILE", str(tmp_path / "people.jwt"))
    environment.setenv("ASSENT_FLOOR_FILE", str(tmp_path / "floor.toml"))
    if pinned == "keys too":
        environment.setenv("ASSENT_JWKS_FILE", str(tmp_path / "jwks.json"))
    environment.setattr("approvals.client.plans.submit", None)  # called, it would raise TypeError
    error = refused("floor", lambda: transfer(23))
    assert error.place == "transfer"
    assert "names trasnfer and not transfer" in error.message
    assert "no word on this tool" in refused("floor", balance).message


@pytest.mark.parametrize(
    ("variable", "mode", "remedy"),
    [
        ("ASSENT_KEY_FILE", 0o644, "chmod 600"),
        ("ASSENT_KEY_FILE", 0o620, "chmod 600"),
        ("ASSENT_JWKS_FILE", 0o666, "chmod go-w"),
        ("ASSENT_PEOPLE_FILE", 0o664, "chmod go-w"),
        ("ASSENT_FLOOR_FILE", 0o646, "chmod go-w"),
    ],
)
def test_a_key_that_others_may_read_or_a_pin_that_they_may_write_is_refused(
    environment: pytest.MonkeyPatch, tmp_path: Path, variable: str, mode: int, remedy: str
) -> None:
    path = tmp_path / "file"
    path.write_text("{}")
    path.chmod(mode)
    environment.setenv("ASSENT_PEOPLE_FILE", str(tmp_path / "key.json"))
    environment.setenv(variable, str(path))
    # A file of root's may be readable by the group that the process was given, and no more.
    error = refused("configuration", balance)
    assert error.place == str(path)
    assert remedy in error.message


def test_a_folder_that_anybody_may_write_is_refused(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    (folder / "jwks.json").write_text("{}")
    folder.chmod(0o777)
    environment.setenv("ASSENT_JWKS_FILE", str(folder / "jwks.json"))
    assert "chmod o-w" in refused("configuration", balance).message


@pytest.mark.parametrize("way", ["a link in it", "a link through it", "a folder in it"])
def test_nor_one_on_the_way_to_the_file(
    environment: pytest.MonkeyPatch, tmp_path: Path, way: str
) -> None:
    folder, own = tmp_path / "open", tmp_path / "own"
    folder.mkdir()
    own.mkdir()
    (own / "jwks.json").write_text("{}")
    path = folder / "jwks.json"
    path.symlink_to(own / "jwks.json")
    if way == "a link through it":
        path = own / "through.json"
        path.symlink_to(folder / "jwks.json")
    if way == "a folder in it":
        path = folder / "in" / "jwks.json"
        path.parent.mkdir()
        path.write_text("{}")
    folder.chmod(0o777)
    environment.setenv("ASSENT_JWKS_FILE", str(path))
    assert f"chmod o-w {folder}" in refused("configuration", balance).message


def test_no_setting_of_the_service_is_taken_for_a_misspelling(
    environment: pytest.MonkeyPatch,
) -> None:
    for name in Settings.model_fields:
        if f"ASSENT_{name.upper()}" not in _VARIABLES:
            environment.setenv(f"ASSENT_{name.upper()}", "x")
    assert balance() == 7


def test_a_pinned_document_and_unattended_tools(
    company: Running, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    client = company.client()
    _, document = jws.verify(client.directory(), keys=client.jwks(), typ="assent-directory+jwt")
    (tmp_path / "people.json").write_bytes(canonical.encode(document))
    environment.setenv("ASSENT_PEOPLE_FILE", str(tmp_path / "people.json"))
    environment.setenv("ASSENT_UNATTENDED", "search, balance")
    assert balance() == 7


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ASSENT_URL", None),
        ("ASSENT_ENFORCER", None),
        ("ASSENT_KEY_FILE", None),
        ("ASSENT_AGENT", None),
        ("ASSENT_USER", None),
        ("ASSENT_URL", "http://assent.example"),
        ("ASSENT_KEY_FILE", "/nowhere/key.json"),
        ("ASSENT_WAIT", "soon"),
        ("ASSENT_WAIT", "-1"),
        ("ASSENT_WAIT", "nan"),
        ("ASSENT_JWKS_FILE", "/nowhere/jwks.json"),
        ("ASSENT_FLOOR_FILE", "/nowhere/floor.toml"),
        ("ASSENT_FLOOR_FILE", ""),
        ("ASSENT_FLOR_FILE", "/etc/floor.toml"),
        ("ASSENT_FLOOR", "/etc/floor.toml"),
        ("ASSENT_PEOPLE", "/etc/people.jwt"),
        ("ASSENT_UNATENDED", "balance"),
        ("ASSENT_UNATTENDED", "b\u0430lance"),
    ],
)
def test_a_wrong_environment_runs_nothing_and_names_the_variable(
    environment: pytest.MonkeyPatch, name: str, value: str | None
) -> None:
    if value is None:
        environment.delenv(name)
    else:
        environment.setenv(name, value)
    error = refused("configuration", balance)
    assert error.place in {name, value}
    assert str(error).count(f"{error.place}: ") == 1


@pytest.mark.parametrize(
    ("variable", "content"),
    [
        ("ASSENT_KEY_FILE", "not json"),
        ("ASSENT_KEY_FILE", "[]"),
        ("ASSENT_KEY_FILE", '{"kty":"EC"}'),
        ("ASSENT_JWKS_FILE", "not json"),
        ("ASSENT_JWKS_FILE", "{}"),
        ("ASSENT_PEOPLE_FILE", "not a token"),
        ("ASSENT_PEOPLE_FILE", "\xfc"),
        ("ASSENT_PEOPLE_FILE", "{}"),
        ("ASSENT_FLOOR_FILE", ""),
        ("ASSENT_FLOOR_FILE", "not toml"),
        ("ASSENT_FLOOR_FILE", 'typ = "assent/floor/1"'),
        ("ASSENT_FLOOR_FILE", FLOOR.replace("quorum", "qourum")),
        ("ASSENT_FLOOR_FILE", FLOOR),  # whom it counts is not pinned
    ],
)
def test_a_file_that_cannot_be_used_runs_nothing(
    environment: pytest.MonkeyPatch, tmp_path: Path, variable: str, content: str
) -> None:
    (tmp_path / "file").write_text(content)
    (tmp_path / "file").chmod(0o600)
    environment.setenv(variable, str(tmp_path / "file"))
    assert refused("configuration", balance).place in {variable, str(tmp_path / "file")}


def test_with_people_pinned_policy_alone_is_not_enough(company: Running) -> None:
    company.session("ada")
    keys = company.client().jwks()
    _, people = jws.verify(company.client().directory(), keys=keys, typ="assent-directory+jwt")
    pinned = Verifier(issuer=company.url, audience="gateway", keys=keys, people=people)
    with use(Guard(company.client(), pinned, agent="billing-agent", user="uma")):
        refused("basis", balance)


def test_acting_changes_what_it_is_told_and_nothing_else(company: Running) -> None:
    base = guard(company)
    other = base.acting(user="ada", task="t", precondition="p", explanation="e")
    assert (other.user, other.task, other.precondition, other.explanation) == ("ada", "t", "p", "e")
    assert other.acting() == other
    assert (other.client, other.agent) == (base.client, base.agent)


def pin_number(path: Path, company: Running, number: int, **changes: Any) -> None:
    """Pin the company's directory under another number, as a document."""
    client = company.client()
    _, document = jws.verify(
        client.directory(), keys=client.jwks_history(), typ="assent-directory+jwt"
    )
    path.write_bytes(canonical.encode({**document, "number": number, **changes}))
    path.chmod(0o600)


@pytest.fixture
def people(company: Running, environment: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where the directory is pinned; the keys are pinned too, so that both are read at once."""
    jwks = tmp_path / "jwks.json"
    jwks.write_bytes(canonical.encode(company.client().jwks_history()))
    jwks.chmod(0o600)
    environment.setenv("ASSENT_JWKS_FILE", str(jwks))
    environment.setenv("ASSENT_PEOPLE_FILE", str(tmp_path / "people.json"))
    environment.setenv("ASSENT_UNATTENDED", "balance")
    return tmp_path / "people.json"


def test_an_older_directory_never_takes_the_place_of_a_newer_one(
    company: Running, environment: pytest.MonkeyPatch, people: Path
) -> None:
    """Each guard stands for a process of its own: what they share is the file."""
    newest = people.with_name("newest.json")
    environment.setenv("ASSENT_PEOPLE_NEWEST_FILE", str(newest))
    pin_number(people, company, 7_000)
    Guard.from_environment()
    assert newest.stat().st_mode & 0o077 == 0
    older: tuple[tuple[int, dict[str, Any]], ...] = ((6_999, {}), (7_000, {"people": []}))
    for number, changes in older:
        pin_number(people, company, number, **changes)
        refused("configuration", Guard.from_environment)
    pin_number(people, company, 7_001)
    Guard.from_environment()
    newest.chmod(0o666)
    assert refused("configuration", Guard.from_environment).place == str(newest)
    newest.chmod(0o600)
    newest.write_text(newest.read_text().replace(company.url, "https://other.example"))
    assert refused("configuration", Guard.from_environment).place == str(newest)


def test_a_file_that_cannot_be_written_forgets_nothing_silently(
    company: Running, environment: pytest.MonkeyPatch, people: Path
) -> None:
    pin_number(people, company, 1)
    environment.setenv("ASSENT_PEOPLE_NEWEST_FILE", str(people.parent / "nowhere" / "newest.json"))
    refused("configuration", Guard.from_environment)


def test_a_process_remembers_the_newest_directory_that_it_read(company: Running) -> None:
    client = company.client()
    listed = directories.verify(client.directory(), keys=client.jwks_history())
    memory = Newest(None)
    memory.verify(replace(listed, number=9))
    for older in (replace(listed, number=8), replace(listed, number=9, people=())):
        with pytest.raises(Invalid) as caught:
            memory.verify(older)
        assert caught.value.code == "directory_older"
    memory.verify(replace(listed, number=9, issued=listed.issued + 1))


def test_a_pinned_directory_has_an_age(
    company: Running, environment: pytest.MonkeyPatch, people: Path
) -> None:
    pin_number(people, company, 1, iat=int(time.time()) - 100)
    environment.setenv("ASSENT_PEOPLE_MAX_AGE", "10")
    environment.setattr("approvals.client.plans.submit", None)  # called, it would raise TypeError
    refused("directory", balance)
    for wrong in ("0", "soon"):
        environment.setenv("ASSENT_PEOPLE_MAX_AGE", wrong)
        assert refused("configuration", Guard.from_environment).place == "ASSENT_PEOPLE_MAX_AGE"
