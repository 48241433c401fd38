"""Homes and databases that others can write or read: nothing starts on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cli.refusing import refused

if TYPE_CHECKING:
    from tests.cli.conftest import Shell


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_home_that_others_can_write_is_refused(assent: Shell, mode: int) -> None:
    assent.initialised()
    assent.home.chmod(mode)
    refused(assent, "home_permissions")
    assent.home.chmod(0o700)
    assert assent("people", "invite", "ada").code == 0


def test_so_is_one_that_others_can_move_away(assent: Shell) -> None:
    assent.initialised()
    mode = assent.folder.stat().st_mode
    assent.folder.chmod(0o777)
    try:
        refused(assent, "home_permissions")
    finally:
        assent.folder.chmod(mode)


def test_a_database_file_that_others_can_write_is_refused(assent: Shell) -> None:
    assent.initialised()
    (assent.home / "assent.db").chmod(0o666)
    refused(assent, "database_permissions")


@pytest.mark.parametrize("name", ["assent.db", "assent.db-wal"])
def test_a_database_file_that_others_can_reach_and_read_is_refused(
    assent: Shell, tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    assent.initialised()
    file = assent.home / name

    def exposed() -> None:
        file.touch()
        file.chmod(0o644)

    exposed()
    assert assent("people", "list").code == 0  # nobody else gets through the home
    above = [assent.home, *assent.home.parents]
    above = above[: above.index(tmp_path_factory.getbasetemp().parent) + 1]
    if not all(folder.stat().st_mode & 0o011 for folder in above[-1].parents):
        pytest.skip("the folders above those of the tests let nobody through")
    modes = [(folder, folder.stat().st_mode) for folder in above]
    try:
        for folder, mode in modes:
            folder.chmod(mode & 0o7777 | 0o055)
        exposed()
        refused(assent, "database_permissions")
        file.chmod(0o600)
        assert assent("people", "list").code == 0
    finally:
        for folder, mode in modes:
            folder.chmod(mode & 0o7777)
