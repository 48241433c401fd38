"""`assent keys` and `assent token`: secrets stay in private files, what is printed is public."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from approvals.core import b64, directory, jws
from approvals.core.jws import SigningKey

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Shell


def made_key(assent: Shell) -> Path:
    path = assent.folder / "keys" / "enforcer.json"
    assert assent("keys", "enforcer", "--out", path).code == 0
    return path


def test_an_enforcers_key_pair(assent: Shell) -> None:
    path = assent.folder / "enforcer.json"
    ended = assent("keys", "enforcer", "--out", path, "--json")
    assert ended.code == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    public = ended.document["public_jwk"]
    assert "d" not in public
    private = json.loads(path.read_text())
    assert private["d"] not in ended.out + ended.err
    token = jws.sign({"a": 1}, key=private, typ="JWT")
    assert jws.verify(token, keys={"keys": [public]}, typ="JWT")[1] == {"a": 1}


def test_a_key_file_is_never_overwritten(assent: Shell) -> None:
    path = made_key(assent)
    before = path.read_bytes()
    ended = assent("keys", "enforcer", "--out", path, "--json")
    assert (ended.code, ended.error["code"], ended.error["place"]) == (2, "file_exists", str(path))
    assert path.read_bytes() == before


def test_a_key_file_is_not_written_through_a_link(assent: Shell) -> None:
    link = assent.folder / "link.json"
    link.symlink_to(assent.folder / "elsewhere.json")
    assert assent("keys", "enforcer", "--out", link).code == 2
    assert not (assent.folder / "elsewhere.json").exists()


def test_a_token_names_the_enforcer_and_lives_five_minutes(assent: Shell) -> None:
    path = made_key(assent)
    ended = assent("token", "--key", path, "--enforcer", "gw", "--audience", "https://a.example/")
    assert ended.code == 0
    (line,) = ended.out.splitlines()
    private = json.loads(path.read_text())
    public = {name: private[name] for name in ("kty", "crv", "x", "y", "alg", "kid")}
    header, claims = jws.verify(line, keys={"keys": [public]}, typ="JWT")
    assert header["kid"] == private["kid"]
    assert (claims["iss"], claims["sub"], claims["aud"]) == ("gw", "gw", "https://a.example")
    issued, expires = claims["iat"], claims["exp"]
    assert isinstance(issued, int)
    assert expires == issued + 300


def test_a_file_without_a_private_key_is_named(assent: Shell) -> None:
    path = assent.folder / "empty.key"
    path.write_text("{}")
    path.chmod(0o600)
    ended = assent("token", "--key", path, "--enforcer", "gw", "--json")
    assert (ended.code, ended.error["place"]) == (2, str(path))


def test_a_key_that_others_can_read_is_refused(assent: Shell) -> None:
    path = made_key(assent)
    path.chmod(0o640)
    ended = assent("token", "--key", path, "--enforcer", "gw", "--json")
    assert (ended.code, ended.error["code"]) == (2, "key_permissions")
    assert "chmod 600" in ended.error["message"]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"{", "not_json"),
        (b'{"kty":"EC","kty":"EC"}', "duplicate_member"),
        (b"[]", "not_an_object"),
        (b"\xff", "not_utf8"),
    ],
)
def test_a_key_file_is_read_strictly(assent: Shell, content: bytes, code: str) -> None:
    path = assent.folder / "key.json"
    path.write_bytes(content)
    path.chmod(0o600)
    ended = assent("token", "--key", path, "--enforcer", "gw", "--json")
    assert (ended.code, ended.error["code"], ended.error["place"]) == (2, code, str(path))


def test_what_is_no_key_is_refused(assent: Shell) -> None:
    path = assent.folder / "key.json"
    path.write_text('{"kty":"oct","k":"c2VjcmV0"}')
    path.chmod(0o600)
    ended = assent("token", "--key", path, "--enforcer", "gw", "--json")
    assert ended.code == 2
    assert "c2VjcmV0" not in ended.out + ended.err


def test_a_token_is_not_made_for_plain_http(assent: Shell) -> None:
    path = made_key(assent)
    ended = assent(
        "token", "--key", path, "--enforcer", "gw", "--audience", "http://a.example", "--json"
    )
    assert (ended.code, ended.error["code"], ended.error["place"]) == (2, "config", "--audience")


def test_a_missing_file_and_a_missing_option_are_named(assent: Shell) -> None:
    gone = assent.folder / "gone.json"
    ended = assent("token", "--key", gone, "--enforcer", "gw", "--json")
    assert (ended.code, ended.error["code"], ended.error["place"]) == (2, "file", str(gone))
    ended = assent("token", "--enforcer", "gw", "--json")
    assert (ended.code, ended.error["code"]) == (2, "usage")
    assert "--key" in ended.error["message"]
    assert assent("token", "--enforcer", "gw").code == 2
    assert assent("tokne").code == 2


def test_a_token_is_made_without_loading_the_server(assent: Shell) -> None:
    path = made_key(assent)
    program = (
        "import sys; from approvals.cli.application import run\n"
        f"assert run(['token', '--key', {str(path)!r}, '--enforcer', 'gw']) == 0\n"
        "loaded = {'fastapi', 'sqlalchemy', 'cedarpy', 'webauthn'} & sys.modules.keys()\n"
        "assert not loaded, loaded\n"
    )
    done = subprocess.run(  # noqa: S603 - our own interpreter and our own program
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_listing_and_rotating(assent: Shell) -> None:
    assent.initialised()
    (first,) = assent("keys", "list", "--json").document["signing"]
    assert first["state"] == "active"
    rotated = assent("keys", "rotate", "--delay", "600", "--json")
    assert rotated.code == 0
    assert rotated.document["former"]["kid"] == first["kid"]
    states = [key["state"] for key in assent("keys", "list", "--json").document["signing"]]
    assert states == ["active", "next"]
    again = assent("keys", "rotate", "--json")
    assert (again.code, again.error["code"]) == (2, "keys_rotation")
    assert first["kid"] in assent("keys", "list").out
    # Each rotation is two events in the log: a key introduced, a key whose end is known.
    assert assent("log", "check", "--json").document["staged"] == 2 + 2
    negative = assent("keys", "rotate", "--delay", "-1", "--json")
    assert (negative.code, negative.error["code"]) == (2, "usage")


def test_what_an_enforcer_pins(assent: Shell) -> None:
    assent.initialised()
    pins = assent.folder / "pins"
    assert assent("keys", "directory", "--out", pins).code == 0
    jwks = json.loads((pins / "jwks.json").read_text())
    people = directory.verify((pins / "people.jwt").read_text().strip(), keys=jwks)
    assert [person.id for person in people.people] == ["ada", "ben", "cleo", "ops", "uma"]
    assert (pins / "log.vkey").read_text().startswith("localhost:8420/log+")
    printed = assent("keys", "directory", "--json")
    assert printed.document["jwks"] == jwks


def test_pins_are_not_replaced_by_older_ones(assent: Shell) -> None:
    """Nor by another service's; and retired keys stay in them, so that the former pin is read."""
    assent.initialised()
    pins = assent.folder / "pins"
    assert assent("keys", "directory", "--out", pins).code == 0
    old = (pins / "people.jwt").read_text()
    assert assent("people", "invite", "ada").code == 0
    assert assent("keys", "rotate", "--delay", "0").code == 0
    assert assent("keys", "directory", "--out", pins).code == 0
    jwks = json.loads((pins / "jwks.json").read_text())
    assert len(jwks["keys"]) == 2
    newer = directory.verify((pins / "people.jwt").read_text().strip(), keys=jwks)
    former = directory.verify(old.strip(), keys=jwks)
    assert newer.number > former.number
    # As from a service whose database was put back without its keys: the folder has more.
    kid = json.loads(b64.decode((pins / "people.jwt").read_text().split(".")[0]))["kid"]
    signing = SigningKey.from_jwk(
        json.loads((assent.home / "keys" / f"approval-{kid}.json").read_text())["jwk"]
    )
    ahead = directory.sign(replace(newer, number=newer.number + 1000), key=signing)
    (pins / "people.jwt").write_text(ahead + "\n")
    ended = assent("keys", "directory", "--out", pins, "--json")
    assert (ended.code, ended.error["code"]) == (2, "directory_older")
    assert (pins / "people.jwt").read_text() == ahead + "\n"
    (pins / "people.jwt").write_text("something else")
    ended = assent("keys", "directory", "--out", pins, "--json")
    assert (ended.code, ended.error["code"]) == (2, "directory")


def test_no_home_is_said_plainly(assent: Shell) -> None:
    for command in (("keys", "list"), ("keys", "rotate"), ("people", "list"), ("log", "check")):
        ended = assent(*command, "--json")
        assert (ended.code, ended.error["code"]) == (2, "keys_missing"), command
        assert str(assent.home) in ended.error["place"]
    assert not assent.home.exists()


def test_help_keeps_paragraphs_and_says_what_unset_means(assent: Shell) -> None:
    told = assent("keys", "directory", "--help").out
    assert "home folder. Compare what you pin" in told
    assert "unset: ASSENT_HOME" in told
