"""A throwaway PostgreSQL cluster: the real server, on a free port, gone when the tests are.

It keeps fsync on and PostgreSQL's own defaults for everything that concerns durability, because
tests that kill the service ask what the database still knows. Nobody but this machine reaches it:
it listens on the loopback address and on a socket in a folder of its own.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shlex
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Iterator

OWNER = "assent"
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "logging_collector": "off",
    "log_min_messages": "error",
}


def programs() -> Path:
    """The folder with initdb and postgres: the newest of those that are installed."""
    installed = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"),
        key=lambda path: int(path.parts[-3].split(".")[0]),
    )
    if installed:
        return installed[-1].parent
    on_path = shutil.which("initdb")
    if on_path is None:
        raise FileNotFoundError("PostgreSQL is not installed: make test installs it, or says how")
    return Path(on_path).resolve().parent


@contextlib.contextmanager
def cluster() -> Iterator[str]:
    """Starts a cluster and yields the URL of its maintenance database; stops and removes it."""
    # Under /tmp, because the path of a socket may be no longer than 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="assent-pg-", dir="/tmp"))
    try:
        with _running(folder) as url:
            yield url
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # there only when it never started


@contextlib.contextmanager
def _running(folder: Path) -> Iterator[str]:
    bin_folder = programs()
    user = _unprivileged(folder)
    data = folder / "data"
    _run(
        [
            str(bin_folder / "initdb"),
            f"--pgdata={data}",
            f"--username={OWNER}",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
        ],
        user=user,
        folder=folder,
    )
    port = _free_port()
    settings = {**SETTINGS, "port": str(port), "unix_socket_directories": str(folder)}
    with (data / "postgresql.conf").open("a", encoding="utf-8") as file:
        file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
    control = [str(bin_folder / "pg_ctl"), f"--pgdata={data}", "--wait"]
    _run([*control, f"--log={folder / 'log'}", "start"], user=user, folder=folder)
    stop = shlex.join([*control, "--mode=immediate", "stop"])
    # The server stops when this pipe closes: at the end, and also when the tests are killed.
    with subprocess.Popen(  # noqa: S602 - a constant program over paths made here
        f"cat; {stop}; cd / && {shlex.join(['rm', '-r', str(folder)])}",
        shell=True,
        cwd=folder,
        user=user.pw_uid if user else None,
        group=user.pw_gid if user else None,
        extra_groups=[] if user else None,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    ):
        yield f"postgresql://{OWNER}@127.0.0.1:{port}/postgres"


@contextlib.contextmanager
def database(url: str, *, template: str | None = None) -> Iterator[str]:
    """Creates a database in the cluster at url, yields its URL and drops it.

    It is empty, or a copy of the database whose URL is `template`.
    """
    name = "t" + secrets.token_hex(8)
    original = "template1" if template is None else template.rsplit("/", 1)[1]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                sql.Identifier(name), sql.Identifier(original)
            )
        )
    try:
        yield url.rsplit("/", 1)[0] + "/" + name
    finally:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
            )


def _unprivileged(folder: Path) -> pwd.struct_passwd | None:
    """Who runs it when root may not: postgres or nobody, who becomes the folder's owner."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        os.chown(folder, user.pw_uid, user.pw_gid)
        return user
    raise LookupError("running as root, and there is neither a user postgres nor nobody")


def _run(command: list[str], *, user: pwd.struct_passwd | None, folder: Path) -> None:
    # Said to a file and not to a pipe: the server that pg_ctl leaves running would hold it open.
    said = folder / "said"
    with said.open("wb") as output:
        result = subprocess.run(  # noqa: S603 - programs of the installed PostgreSQL
            command,
            cwd=folder,
            user=user.pw_uid if user else None,
            group=user.pw_gid if user else None,
            extra_groups=[] if user else None,
            env={"PATH": os.defpath, "LC_ALL": "C", "HOME": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if result.returncode != 0:
        text = said.read_text("utf-8", "replace")
        raise RuntimeError(f"{Path(command[0]).name} failed:\n{text}")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
