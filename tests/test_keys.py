"""Keys: made once, private, never replaced."""

from __future__ import annotations

import base64
import json
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from approvals.core import b64, jws
from approvals.core.errors import AssentError
from approvals.keys import Keyring
from tests.keyrings import NOW, ORIGIN, files, kids, opened, published

if TYPE_CHECKING:
    from collections.abc import Callable


def refused(home: Path) -> AssentError:
    with pytest.raises(AssentError) as caught:
        opened(home, now=NOW + 1)
    return caught.value


def approval_file(home: Path) -> Path:
    return next((home / "keys").glob("approval-*.json"))


def test_the_first_start_makes_keys_that_only_their_owner_can_read(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        keyring = opened(tmp_path / "deep" / "home")
    finally:
        os.umask(before)
    folder = tmp_path / "deep" / "home" / "keys"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert len(keyring.approval_keys) == 1
    assert not list((tmp_path / "deep" / "home").glob(".keys-*"))


def test_what_is_signed_verifies_with_what_is_published(tmp_path: Path) -> None:
    keyring = opened(tmp_path)
    token = jws.sign({"a": 1}, key=keyring.signer(NOW), typ="t")
    header, payload = jws.verify(token, keys=keyring.jwks(NOW), typ="t")
    assert payload == {"a": 1}
    assert header["alg"] == "ES256"
    assert header["kid"] == keyring.signer(NOW).kid


def test_no_private_member_is_published(tmp_path: Path) -> None:
    keyring = opened(tmp_path)
    keyring.rotate(NOW, delay=60)
    for key in published(keyring, NOW):
        assert set(key) - {"nbf", "exp"} == {"kty", "crv", "x", "y", "kid", "use", "alg"}


def test_keys_survive_a_restart_and_the_log_keeps_its_name(tmp_path: Path) -> None:
    first = opened(tmp_path)
    second = Keyring.open(tmp_path, now=NOW + 5, origin="moved.example/log")
    assert second.vkey == first.vkey
    assert second.origin == ORIGIN
    assert second.vkey.startswith(f"{ORIGIN}+")
    assert kids(second, NOW) == kids(first, NOW)


def test_keys_are_not_made_where_they_are_only_looked_for(tmp_path: Path) -> None:
    with pytest.raises(AssentError) as caught:
        opened(tmp_path, create=False)
    assert caught.value.code == "keys_missing"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", [0o750, 0o705, 0o711, 0o777])
def test_a_folder_that_others_may_use_is_refused_with_the_remedy(tmp_path: Path, mode: int) -> None:
    opened(tmp_path)
    folder = tmp_path / "keys"
    folder.chmod(mode)
    error = refused(tmp_path)
    assert error.code == "keys_permissions"
    assert error.place == str(folder)
    assert f"chmod 700 {folder}" in error.message


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
@pytest.mark.parametrize("which", ["log.json", "seal.json", "webhook.json", "approval-*.json"])
def test_a_file_that_others_may_read_is_refused_with_the_remedy(
    tmp_path: Path, mode: int, which: str
) -> None:
    opened(tmp_path)
    path = next((tmp_path / "keys").glob(which))
    path.chmod(mode)
    error = refused(tmp_path)
    assert error.code == "keys_permissions"
    assert error.place == str(path)
    assert f"chmod 600 {path}" in error.message


def edited(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        document = json.loads(path.read_text())
        change(document)
        path.write_text(json.dumps(document))

    return edit


def secret(document: dict[str, Any]) -> str:
    """The member of the JWK that nobody else may know."""
    return "k" if document["jwk"]["kty"] == "oct" else "d"


DAMAGE: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "half": lambda path: path.write_bytes(path.read_bytes()[:40]),
    "binary": lambda path: path.write_bytes(b"\xff\xfe\x00"),
    "list": lambda path: path.write_bytes(b"[]"),
    "no jwk": edited(lambda document: document.pop("jwk")),
    "unknown member": edited(lambda document: document.update(note="mine")),
    "jwk is text": edited(lambda document: document.update(jwk="secret")),
    "jwk without d": edited(lambda document: document["jwk"].pop(secret(document))),
    "jwk d too short": edited(lambda document: document["jwk"].update({secret(document): "AAAA"})),
    "jwk d is a number": edited(lambda document: document["jwk"].update({secret(document): 5})),
    "jwk of another kind": edited(lambda document: document["jwk"].update(kty="RSA")),
    "another x": edited(lambda document: document["jwk"].update(x="A" * 43)),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("which", ["log.json", "seal.json", "webhook.json", "approval-*.json"])
def test_a_damaged_file_stops_the_start_and_is_never_replaced(
    tmp_path: Path, damage: str, which: str
) -> None:
    opened(tmp_path)
    path = next((tmp_path / "keys").glob(which))
    DAMAGE[damage](path)
    before = files(tmp_path)
    error = refused(tmp_path)
    assert error.code == "keys_unreadable"
    assert error.place == str(path)
    assert files(tmp_path) == before


@pytest.mark.parametrize("member", ["created", "activates"])
@pytest.mark.parametrize("value", ["soon", None, 1.5])
def test_a_key_without_its_times_is_refused(tmp_path: Path, member: str, value: object) -> None:
    opened(tmp_path)
    path = approval_file(tmp_path)
    edited(lambda document: document.update({member: value}))(path)
    assert refused(tmp_path).code == "keys_unreadable"


def test_a_key_under_another_keys_name_is_refused(tmp_path: Path) -> None:
    opened(tmp_path)
    path = approval_file(tmp_path)
    path.rename(path.with_name(f"approval-{'A' * 43}.json"))
    assert refused(tmp_path).code == "keys_unreadable"


@pytest.mark.parametrize("which", ["log.json", "seal.json", "approval-*.json"])
def test_a_lost_key_is_never_replaced_by_a_new_one(tmp_path: Path, which: str) -> None:
    opened(tmp_path)
    next((tmp_path / "keys").glob(which)).unlink()
    before = files(tmp_path)
    error = refused(tmp_path)
    assert error.code == "keys_missing"
    assert error.place == str(tmp_path / "keys" / which)
    assert files(tmp_path) == before


def test_the_webhook_key_is_one_of_its_own_and_in_no_key_set(tmp_path: Path) -> None:
    """Verifiers of approvals would otherwise take what it signs for one."""
    keyring = opened(tmp_path)
    public = keyring.webhook_key.public_key().public_bytes_raw()
    assert public != keyring.log_key.public_key().public_bytes_raw()
    assert keyring.webhook_public_key == f"whpk_{base64.b64encode(public).decode()}"
    assert b64.encode(public) not in json.dumps(published(keyring, NOW))
    assert opened(tmp_path, now=NOW + 5).webhook_public_key == keyring.webhook_public_key


def test_a_folder_from_before_the_webhook_key_gets_one_and_keeps_it(tmp_path: Path) -> None:
    opened(tmp_path)
    (tmp_path / "keys" / "webhook.json").unlink()
    looked_at = opened(tmp_path, create=False)
    with pytest.raises(AssentError) as caught:
        _ = looked_at.webhook_key
    assert caught.value.code == "keys_missing"
    before = files(tmp_path)
    made = opened(tmp_path)
    assert files(tmp_path).items() > before.items()
    assert opened(tmp_path).webhook_public_key == made.webhook_public_key
    assert looked_at.reload_if_changed()
    assert looked_at.webhook_public_key == made.webhook_public_key


def test_processes_that_miss_the_webhook_key_at_once_make_one(tmp_path: Path) -> None:
    opened(tmp_path)
    (tmp_path / "keys" / "webhook.json").unlink()
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(4, mp_context=context) as pool:
        assert len(set(pool.map(_webhook_public_key, [tmp_path] * 4))) == 1


def _webhook_public_key(home: Path) -> str:
    return opened(home).webhook_public_key


def test_a_file_where_the_folder_should_be_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("")
    error = refused(tmp_path)
    assert error.code == "keys_unreadable"
    assert error.place == str(tmp_path / "keys")


def test_a_home_that_cannot_be_made_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    error = refused(tmp_path / "file" / "home")
    assert error.code == "keys_unreadable"


def _vkey_and_kids(home: Path) -> tuple[str, list[str]]:
    keyring = opened(home)
    return keyring.vkey, kids(keyring, NOW)


def test_processes_that_start_at_once_end_with_the_same_keys(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(4, mp_context=context) as pool:
        for attempt in range(5):
            homes = [tmp_path / str(attempt)] * 4
            first, *others = pool.map(_vkey_and_kids, homes)
            assert others == [first] * 3
            assert {path.name for path in homes[0].iterdir()} == {"keys"}


def test_who_loses_the_race_to_make_keys_takes_the_winners(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processes seldom meet at the one rename; here another always comes first."""
    rename = Path.rename
    winners: list[Keyring] = []

    def overtaken(path: Path, target: Path) -> Path:
        if target.name == "keys":
            monkeypatch.setattr(Path, "rename", rename)
            winners.append(opened(tmp_path))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", overtaken)
    late = opened(tmp_path)
    assert [winner.vkey for winner in winners] == [late.vkey]
    assert kids(late, NOW) == kids(winners[0], NOW)
    assert {path.name for path in tmp_path.iterdir()} == {"keys"}
