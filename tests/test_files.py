"""What says whom to trust is read from a file, at once, and from none that others may exchange."""

from __future__ import annotations

import os
import socket
import stat
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from approvals.cli import files as of_commands
from approvals.cli.folder import read_folder
from approvals.core.errors import AssentError
from approvals.files import MOUNTED_PIN, PIN, FileRefusedError, read
from approvals.guard.files import read_pin, read_pinned_object, read_private_object
from approvals.keys import private
from approvals.keys.authenticators import read_authenticators
from tests import small_bundle as small

if TYPE_CHECKING:
    from collections.abc import Callable

READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "a pin of the guard": ("file", lambda path: read_pin(str(path))),
    "pinned keys of the guard": ("file", lambda path: read_pinned_object(str(path))),
    "the guard's private key": ("file", lambda path: read_private_object(str(path))),
    "a file that a command is given": ("file", of_commands.read_object),
    "an enforcer's key that a command is given": ("file", of_commands.read_secret_object),
    "a key of the service": ("log.json", lambda path: private.read_document(path, set())),
    "a root of attestation": (
        "metadata.jwt",
        lambda path: read_authenticators(path.parent, now=0),
    ),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", ["pipe", "socket", "device", "folder"])
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, reader: str, kind: str) -> None:
    """Would catch a start that waits for ever for somebody to write into a pipe."""
    name, read_it = READERS[reader]
    path = tmp_path / name
    match kind:
        case "pipe":
            os.mkfifo(path, 0o600)
        case "socket":
            with closing(socket.socket(socket.AF_UNIX)) as made:
                made.bind(str(path))
            path.chmod(0o600)
        case "device":
            path.symlink_to("/dev/zero")
        case _:
            path.mkdir(0o700)
    with pytest.raises((AssentError, OSError), match=r"not a file|No such device"):
        read_it(path)


def test_a_pipe_in_the_folder_of_a_bundle_is_a_problem_and_is_not_waited_for(
    tmp_path: Path,
) -> None:
    for name, text in small.files().items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    os.mkfifo(tmp_path / "policies" / "more.cedar")
    (problem,) = read_folder(tmp_path).problems
    assert (problem.file, problem.code) == ("policies/more.cedar", "unknown_file")


@pytest.mark.parametrize(
    ("mode", "remedy"), [(0o775, "chmod g-w"), (0o777, "chmod o-w"), (0o757, "chmod o-w")]
)
@pytest.mark.parametrize("way", ["its folder", "a link's folder"])
def test_a_folder_in_which_others_may_put_another_file_is_refused(
    tmp_path: Path, mode: int, remedy: str, way: str
) -> None:
    folder, own = tmp_path / "open", tmp_path / "own"
    folder.mkdir()
    own.mkdir()
    path = folder / "pin"
    if way == "its folder":
        path.write_text("x")
    else:
        (own / "pin").write_text("x")
        path.symlink_to(own / "pin")
    assert read(path, most=1, trust=PIN) == b"x"
    folder.chmod(mode)
    with pytest.raises(FileRefusedError, match=f"{remedy} {folder}") as refused:
        read(path, most=1, trust=PIN)
    assert refused.value.code == "folder"
    folder.chmod(mode | 0o1000)
    assert read(path, most=1, trust=PIN) == b"x"


def test_not_more_is_read_than_is_meant(tmp_path: Path) -> None:
    (tmp_path / "pin").write_bytes(b"12345")
    assert read(tmp_path / "pin", most=5) == b"12345"
    with pytest.raises(FileRefusedError) as refused:
        read(tmp_path / "pin", most=4)
    assert refused.value.code == "size"


@pytest.mark.parametrize("mode", [0o755, 0o1777])
@pytest.mark.parametrize("whose", ["its folder", "a folder above", "a link", "a link to a folder"])
def test_what_another_user_may_exchange_on_the_way_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whose: str, mode: int
) -> None:
    """Would catch whoever puts another file of this user in the place of a pin."""
    folder = tmp_path / "above" / "folder"
    folder.mkdir(parents=True)
    (folder / "pin").write_text("x")
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "pin").symlink_to(folder / "pin")
    (tmp_path / "folder").symlink_to(folder)
    path, foreign = {
        "its folder": (folder / "pin", folder),
        "a folder above": (folder / "pin", folder.parent),
        "a link": (tmp_path / "linked" / "pin", tmp_path / "linked" / "pin"),
        "a link to a folder": (tmp_path / "folder" / "pin", tmp_path / "folder"),
    }[whose]
    foreign.parent.chmod(mode)
    assert read(path, most=1, trust=PIN) == b"x"
    real = Path.stat

    def of_another(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        found = list(real(path, follow_symlinks=follow_symlinks))
        if path == foreign and follow_symlinks is not os.path.islink(foreign):  # noqa: PTH114 - asks no patched method
            found[stat.ST_UID] = os.getuid() + 1
        return os.stat_result(found)

    monkeypatch.setattr(Path, "stat", of_another)
    with pytest.raises(FileRefusedError, match="belongs to another user"):
        read(path, most=1, trust=PIN)


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives a file to another user")
def test_what_really_belongs_to_another_user_on_the_way_is_refused(tmp_path: Path) -> None:
    """As above, and the owner is the one that the system knows."""
    another = 65_534
    own, shared = tmp_path / "own", tmp_path / "shared"
    (own / "folder").mkdir(parents=True)
    shared.mkdir()
    (own / "folder" / "pin").write_text("x")
    (own / "folder").chmod(0o755)
    shared.chmod(0o1777)  # as /tmp is: root's, and each moves what is theirs
    (shared / "pin").symlink_to(own / "folder" / "pin")
    (shared / "folder").symlink_to(own / "folder")
    (own / "up").symlink_to("../own/folder")
    ways = {
        shared / "pin": shared / "pin",
        shared / "folder" / "pin": shared / "folder",
        shared / "folder" / ".." / "folder" / "pin": shared / "folder",
        own / "up" / "pin": own / "up",
        own / "folder" / "pin": own,
    }
    for path, foreign in ways.items():
        assert read(path, most=1, trust=PIN) == b"x"
        os.lchown(foreign, another, another)
        with pytest.raises(FileRefusedError, match="belongs to another user") as refused:
            read(path, most=1, trust=PIN)
        assert refused.value.code == "folder"
        # The mounted secrets of a container have the owner that its platform gives them.
        assert read(path, most=1, trust=MOUNTED_PIN) == b"x"
        os.lchown(foreign, 0, 0)


def test_where_the_system_has_no_modes_files_are_read_without_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows, where an enforcer reads its pins too."""
    (tmp_path / "pin").write_text("x")
    (tmp_path / "pin").chmod(0o666)
    for name in ("getuid", "O_NONBLOCK", "O_CLOEXEC", "O_NOCTTY"):
        monkeypatch.delattr(os, name)
    assert read(tmp_path / "pin", most=1, trust=PIN) == b"x"
